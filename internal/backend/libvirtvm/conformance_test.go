package libvirtvm

import (
	"context"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	libvirt "github.com/digitalocean/go-libvirt"

	"github.com/novacron/terraform-provider-novacron/internal/backend/driver"
	"github.com/novacron/terraform-provider-novacron/internal/backend/drivertest"
	"github.com/novacron/terraform-provider-novacron/internal/lab"
	"github.com/novacron/terraform-provider-novacron/internal/libvirtconn"
	"github.com/novacron/terraform-provider-novacron/internal/spec"
)

// prefix is of the name of everything that the suite makes.
const prefix = "suite-"

// platform is a libvirt URI under test.
type platform struct {
	uri, socket, pool string
	look              *libvirtconn.Client // looks from outside; keeps the mock host alive
}

func newPlatform(t *testing.T, h *lab.Host, uri, pool string) *platform {
	t.Helper()
	look, err := libvirtconn.New(libvirtconn.Options{URI: uri})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { look.Close() })
	p := &platform{uri: uri, socket: h.Socket(), pool: pool, look: look}
	p.ask(t, func(l *libvirt.Libvirt) error { _, err := l.ConnectGetLibVersion(); return err })
	return p
}

func (p *platform) ask(t testing.TB, f func(*libvirt.Libvirt) error) {
	t.Helper()
	if err := p.look.Do(context.Background(), f); err != nil {
		t.Fatalf("look at the platform: %v", err)
	}
}

func (p *platform) open(t testing.TB) driver.Driver {
	t.Helper()
	conn, err := libvirtconn.New(libvirtconn.Options{URI: p.uri})
	if err != nil {
		t.Fatal(err)
	}
	return New(conn, p.pool, "qemu")
}

// crashAfter returns a driver whose calls stop reaching libvirtd after n.
func (p *platform) crashAfter(t testing.TB, n int) driver.Driver {
	t.Helper()
	f := &fuse{socket: p.socket, left: n}
	conn, err := libvirtconn.New(libvirtconn.Options{URI: p.uri, Dial: f.dial})
	if err != nil {
		t.Fatal(err)
	}
	return New(conn, p.pool, "qemu")
}

// leftovers lists what of the suite the platform has.
func (p *platform) leftovers(t testing.TB) (names []string) {
	t.Helper()
	note := func(kind, name string) {
		if strings.HasPrefix(name, prefix) {
			names = append(names, kind+" "+name)
		}
	}
	p.ask(t, func(l *libvirt.Libvirt) error {
		doms, _, err := l.ConnectListAllDomains(1, 0)
		if err != nil {
			return err
		}
		for _, d := range doms {
			note("VM", d.Name)
		}
		pool, err := l.StoragePoolLookupByName(p.pool)
		if err != nil {
			return err
		}
		vols, _, err := l.StoragePoolListAllVolumes(pool, 1, 0)
		if err != nil {
			return err
		}
		for _, v := range vols {
			note("volume", v.Name)
		}
		nets, _, err := l.ConnectListAllNetworks(1, 0)
		if err != nil {
			return err
		}
		for _, n := range nets {
			note("network", n.Name)
		}
		return nil
	})
	return names
}

// guest looks at what runs of a VM.
func (p *platform) guest(t testing.TB, id string) (g drivertest.Guest) {
	t.Helper()
	uuid, err := uuidOf(id)
	if err != nil {
		t.Fatal(err)
	}
	p.ask(t, func(l *libvirt.Libvirt) error {
		dom, err := l.DomainLookupByUUID(uuid)
		if err != nil {
			return err
		}
		_, memory, _, _, _, err := l.DomainGetInfo(dom)
		g.Memory = spec.Size(memory) * spec.KiB
		if dom.ID > 0 {
			g.Start = strconv.Itoa(int(dom.ID))
		}
		return err
	})
	return g
}

func TestConformanceOnQEMU(t *testing.T) {
	h := lab.ForTest(t)
	img := buildGuest(t)
	p := newPlatform(t, h, h.URI(), "default")
	drivertest.Run(t, drivertest.Harness{
		Prefix: prefix, CIDR: netip.MustParsePrefix(h.Subnet(0) + ".0/24"), Memory: 128 * spec.MiB,
		Open: p.open, CrashAfter: p.crashAfter, Leftovers: p.leftovers, Guest: p.guest, Stride: 3,
		Boot:     &spec.DirectBoot{Kernel: img.Kernel, Initrd: img.Initrd, Cmdline: "console=ttyS0 quiet"},
		BootTime: 2 * time.Minute,
	})
}

func TestConformanceOnLibvirtsTestDriver(t *testing.T) {
	h := lab.ForTest(t)
	p := newPlatform(t, h, "test+unix:///default?socket="+h.Socket(), "default-pool")
	drivertest.Run(t, drivertest.Harness{
		Prefix: prefix, CIDR: netip.MustParsePrefix(h.Subnet(0) + ".0/24"),
		Open: p.open, CrashAfter: p.crashAfter, Leftovers: p.leftovers, Guest: p.guest, Mock: true,
	})
}
