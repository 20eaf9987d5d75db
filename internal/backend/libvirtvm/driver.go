// Package libvirtvm is the driver for KVM and QEMU through libvirt.
//
// A VM is found by its UUID, which is derived from configuration; what it owns
// is written in the metadata of its definition, and the definition is made
// before anything else and removed last, so that whatever an interrupted call
// leaves can be found from it.
package libvirtvm

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	libvirt "github.com/digitalocean/go-libvirt"

	"github.com/novacron/terraform-provider-novacron/internal/backend/driver"
	"github.com/novacron/terraform-provider-novacron/internal/backend/libvirtvm/domxml"
	"github.com/novacron/terraform-provider-novacron/internal/fault"
	"github.com/novacron/terraform-provider-novacron/internal/kvmprobe"
	"github.com/novacron/terraform-provider-novacron/internal/libvirtconn"
	"github.com/novacron/terraform-provider-novacron/internal/spec"
)

// defaultPool is the storage pool that libvirt's own tools use.
const defaultPool = "default"

// Driver is one libvirt host. Safe for concurrent use.
type Driver struct {
	conn     *libvirtconn.Client
	pool     string // of volumes that name none
	virtType string // asked for; "" is whatever works

	mu       sync.Mutex
	host     *domxml.Host // nil until asked
	warnings []string

	poolMu sync.Mutex // one goroutine at a time makes or starts a pool
	busy   locks      // one goroutine at a time creates or updates a VM or volume
}

var _ driver.Driver = (*Driver)(nil)
var _ driver.Reacher = (*Driver)(nil)
var _ driver.Prechecker = (*Driver)(nil)

// Open returns the driver of a libvirt target. It validates and never connects.
func Open(t spec.Target) (driver.Driver, error) {
	l := t.Libvirt
	if l.VirtType != "" && l.VirtType != "kvm" && l.VirtType != "qemu" {
		return nil, fault.At("libvirt.virt_type", fault.Errorf(fault.Invalid, "%q is neither \"kvm\" nor \"qemu\"", l.VirtType))
	}
	conn, err := libvirtconn.New(libvirtconn.Options{URI: l.URI})
	if err != nil {
		return nil, fault.At("libvirt.uri", err)
	}
	return New(conn, l.Pool, l.VirtType), nil
}

// New returns the driver over an open client, which it owns from now on. pool ""
// is "default", virtType "" is kvm where it can run guests and qemu elsewhere.
func New(conn *libvirtconn.Client, pool, virtType string) *Driver {
	if pool == "" {
		pool = defaultPool
	}
	return &Driver{conn: conn, pool: pool, virtType: virtType}
}

// Close ends all connections.
func (d *Driver) Close() error { return d.conn.Close() }

// Capabilities tells what libvirt can do over this URI.
func (d *Driver) Capabilities() spec.Capabilities {
	c := spec.Capabilities{
		Platform: "libvirt", DefaultPool: d.pool, DirectBoot: true, CloudInit: true, UserNetworking: true,
		NetworkModes:  []string{spec.ModeNAT, spec.ModeIsolated},
		VolumeFormats: []string{spec.FormatQCOW2, spec.FormatRaw},
		VolumeUpload:  true, VolumeBacking: true, VolumeGrow: true,
		Why: map[string]string{},
	}
	uri := d.conn.URI()
	if uri.Session() {
		c.NetworkModes = nil
		c.Why["NetworkModes"] = "an ordinary user may not make bridges; use qemu:///system, or interfaces without a network"
	}
	if uri.Driver == "test" {
		const why = "libvirt's test driver has no such calls"
		c.CloudInit, c.VolumeUpload, c.VolumeGrow, c.UserNetworking = false, false, false, false
		for _, power := range []string{"CloudInit", "VolumeUpload", "VolumeGrow", "UserNetworking"} {
			c.Why[power] = why
		}
	}
	return c
}

// Check connects and finds out how guests will run.
func (d *Driver) Check(ctx context.Context) ([]string, error) {
	if _, err := d.platform(ctx); err != nil {
		return nil, err
	}
	err := d.conn.Do(ctx, func(l *libvirt.Libvirt) error { _, err := l.ConnectGetLibVersion(); return err })
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.warnings, nil
}

// platform returns what new guests are defined as: KVM when it can run a guest,
// not just when it is there. It asks once.
func (d *Driver) platform(ctx context.Context) (domxml.Host, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.host != nil {
		return *d.host, nil
	}
	h := domxml.Host{VirtType: "test"}
	if d.conn.URI().Driver == "test" {
		d.host = &h
		return h, nil
	}
	err := d.conn.Do(ctx, func(l *libvirt.Libvirt) error {
		model, _, _, _, _, _, _, _, err := l.NodeGetInfo()
		h.Arch = text(model[:])
		return err
	})
	if err != nil {
		return h, err
	}
	var slow string
	if h.VirtType, slow, err = d.accelerator(ctx, h.Arch); err != nil {
		return h, err
	}
	if slow != "" {
		d.warnings = append(d.warnings, "Guests run under emulation (TCG), many times slower than with KVM: "+slow)
	}
	d.host = &h
	return h, nil
}

// accelerator chooses between kvm and qemu; slow is why it is not kvm.
func (d *Driver) accelerator(ctx context.Context, arch string) (virtType, slow string, err error) {
	if d.virtType != "" {
		return d.virtType, "", nil
	}
	if d.conn.URI().Local() {
		if r := kvmprobe.Remembered(ctx); !r.Usable && !r.Denied {
			return "qemu", r.Reason, nil
		}
	}
	err = d.conn.Do(ctx, func(l *libvirt.Libvirt) error {
		_, err := l.ConnectGetDomainCapabilities(nil, libvirt.OptString{arch}, nil, libvirt.OptString{"kvm"}, 0)
		return err
	})
	switch fault.KindOf(err) {
	case "":
		return "kvm", "", nil
	case fault.Unavailable, fault.Canceled, fault.Denied:
		return "", "", err
	}
	return "qemu", fmt.Sprintf("libvirt on the host offers no KVM (%v)", err), nil
}

// text returns a C string that go-libvirt hands out as an array.
func text(chars []int8) string {
	var b strings.Builder
	for _, c := range chars {
		if c == 0 {
			break
		}
		b.WriteByte(byte(c))
	}
	return b.String()
}

// uuidOf parses a UUID in its usual form.
func uuidOf(id string) (libvirt.UUID, error) {
	var u libvirt.UUID
	hex := strings.ReplaceAll(id, "-", "")
	if len(hex) != 32 {
		return u, fault.Errorf(fault.NotFound, "%q is not a UUID", id)
	}
	for i := range u {
		if _, err := fmt.Sscanf(hex[2*i:2*i+2], "%02x", &u[i]); err != nil {
			return u, fault.Errorf(fault.NotFound, "%q is not a UUID", id)
		}
	}
	return u, nil
}

// is reports whether err is the libvirt error of the code.
func is(err error, code libvirt.ErrorNumber) bool {
	var e libvirt.Error
	return errors.As(err, &e) && e.Code == uint32(code)
}
