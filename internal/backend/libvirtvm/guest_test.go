package libvirtvm

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/novacron/terraform-provider-novacron/internal/backend/driver"
	"github.com/novacron/terraform-provider-novacron/internal/fault"
	"github.com/novacron/terraform-provider-novacron/internal/lab"
	"github.com/novacron/terraform-provider-novacron/internal/lab/guest"
	"github.com/novacron/terraform-provider-novacron/internal/spec"
)

func TestMain(m *testing.M) {
	lab.Main()
	os.Exit(m.Run())
}

// open returns the driver of the host.
func open(t *testing.T, h *lab.Host) *Driver {
	t.Helper()
	d, err := Open(spec.Target{Name: "lab", Libvirt: &spec.LibvirtTarget{URI: h.URI(), VirtType: "qemu"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d.(*Driver)
}

// buildGuest returns a tiny guest whose files the host's QEMU can read.
func buildGuest(t *testing.T) guest.Image {
	t.Helper()
	img, err := guest.Build(t.Context(), guest.CacheDir(), t.Logf)
	if err != nil {
		t.Fatalf("build the guest: %v", err)
	}
	return img
}

// eventually waits until ok says nothing.
func eventually(t *testing.T, limit time.Duration, ok func() error) {
	t.Helper()
	deadline := time.Now().Add(limit)
	for {
		err := ok()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("after %s: %v", limit, err)
		}
		time.Sleep(200 * time.Millisecond)
	}
}

func TestAGuestBootsFromItsDiskWithSeedAndForwardedPort(t *testing.T) {
	h := lab.ForTest(t)
	d := open(t, h)
	img := buildGuest(t)
	ctx := t.Context()
	base, err := d.CreateVolume(ctx, spec.Volume{
		UUID: spec.Identity("t", "volume", "base"), Name: "base", Format: spec.FormatRaw, Source: &spec.Source{File: img.Disk},
	})
	if err != nil {
		t.Fatalf("CreateVolume: %v", err)
	}
	vm := spec.VM{
		UUID: spec.Identity("t", "vm", "web"), Owner: "t", Name: "web", CPUs: 1, Memory: 128 * spec.MiB, Power: spec.Running,
		Disks:     map[string]spec.Disk{"root": {Backing: base.ID, Size: 128 * spec.MiB}},
		NICs:      map[string]spec.NIC{"user": {Forward: map[uint16]uint16{18123: 80}}},
		CloudInit: &spec.CloudInit{UserData: "#!/bin/sh\necho seeded > /dev/console\n"},
	}
	start := time.Now()
	info, err := d.CreateVM(ctx, vm)
	if err != nil {
		t.Fatalf("CreateVM: %v", err)
	}
	t.Logf("created in %s: %+v", time.Since(start), info)
	if err := d.ReachVM(ctx, vm.UUID, 80); !errors.Is(err, fault.Busy) {
		t.Errorf("ReachVM while the guest boots = %v, want busy: QEMU's own listener is no proof", err)
	}
	eventually(t, time.Minute, func() error { return d.ReachVM(ctx, vm.UUID, 80) })
	t.Logf("reached after %s", time.Since(start))
	if err := d.ReachVM(ctx, vm.UUID, 81); !errors.Is(err, fault.Invalid) {
		t.Errorf("ReachVM of a port that nothing leads to = %v, want invalid", err)
	}
	stop := time.Now()
	if err := d.StopVM(ctx, vm.UUID, spec.Shutdown{Timeout: 30 * time.Second}); err != nil {
		t.Fatalf("StopVM: %v", err)
	}
	t.Logf("off after %s", time.Since(stop))
	if err := d.DeleteVM(ctx, vm.UUID); err != nil {
		t.Fatalf("DeleteVM: %v", err)
	}
	if err := d.DeleteVolume(ctx, base.ID); err != nil {
		t.Fatalf("DeleteVolume: %v", err)
	}
	left, err := os.ReadDir(h.Images())
	if err != nil || len(left) != 0 {
		t.Errorf("files left in the pool: %v, %v", left, err)
	}
}

func TestAGuestOnANetworkGetsAnAddress(t *testing.T) {
	h := lab.ForTest(t)
	d := open(t, h)
	img := buildGuest(t)
	ctx := t.Context()
	net := network(t, h, d)
	vm := spec.VM{
		UUID: spec.Identity("t", "vm", "lan"), Name: "lan", CPUs: 1, Memory: 128 * spec.MiB, Power: spec.Running,
		Boot: &spec.DirectBoot{Kernel: img.Kernel, Initrd: img.Initrd, Cmdline: "console=ttyS0 quiet"},
		NICs: map[string]spec.NIC{"lan": {Network: net.UUID}},
	}
	if _, err := d.CreateVM(ctx, vm); err != nil {
		t.Fatalf("CreateVM: %v", err)
	}
	eventually(t, time.Minute, func() error {
		info, err := d.VM(ctx, vm.UUID)
		if err == nil && len(info.Addresses) == 0 {
			err = errors.New("no address")
		}
		if err == nil && !net.CIDR.Contains(info.Addresses[0].IP) {
			t.Errorf("the address %v is not in %v", info.Addresses[0], net.CIDR)
		}
		return err
	})
	info, err := d.VM(ctx, vm.UUID)
	if err != nil || info.NICs["lan"].Network != net.UUID || info.Addresses[0].NIC != "lan" {
		t.Errorf("VM = %+v, %v; want the network as the user named it and the address at nics.lan", info, err)
	}
	if err := d.DeleteNetwork(ctx, net.UUID); !errors.Is(err, fault.Busy) {
		t.Errorf("DeleteNetwork under a running guest = %v, want busy", err)
	}
	if err := d.StopVM(ctx, vm.UUID, spec.Shutdown{}); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(d.DeleteVM(ctx, vm.UUID), d.DeleteNetwork(ctx, net.UUID)); err != nil {
		t.Fatal(err)
	}
}

func network(t *testing.T, h *lab.Host, d driver.Driver) spec.NetworkInfo {
	t.Helper()
	n := spec.Network{UUID: spec.Identity("t", "network", "lan"), Name: "lan", Mode: spec.ModeNAT, CIDR: netip.MustParsePrefix(h.Subnet(1) + ".0/24"), DHCP: true}
	info, err := d.CreateNetwork(context.Background(), n)
	if err != nil {
		t.Fatalf("CreateNetwork: %v", err)
	}
	return info
}
