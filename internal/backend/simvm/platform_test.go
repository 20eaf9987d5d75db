package simvm

import (
	"context"
	"fmt"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/novacron/terraform-provider-novacron/internal/fault"
	"github.com/novacron/terraform-provider-novacron/internal/spec"
)

// wants demands an error of the kind at the field.
func wants(t *testing.T, call string, err error, kind fault.Kind, field string) {
	t.Helper()
	if fault.KindOf(err) != kind || fault.FieldOf(err) != field {
		t.Errorf("%s = %v (%s at %q), want %s at %q", call, err, fault.KindOf(err), fault.FieldOf(err), kind, field)
	}
}

func small(name string) spec.VM {
	return spec.VM{UUID: spec.Identity("o", "vm", name), Name: name, CPUs: 1, Memory: 128 * spec.MiB, Power: spec.Running}
}

func TestPoolsAndMemoryRunOut(t *testing.T) {
	ctx := t.Context()
	d := New(Options{Pools: map[string]spec.Size{"default": spec.GiB}, Memory: 256 * spec.MiB})
	vol := spec.Volume{UUID: "11111111-", Name: "a", Size: 700 * spec.MiB, Format: spec.FormatRaw}
	info, err := d.CreateVolume(ctx, vol)
	if err != nil {
		t.Fatal(err)
	}
	_, err = d.CreateVolume(ctx, spec.Volume{UUID: "22222222-", Name: "b", Size: 700 * spec.MiB, Format: spec.FormatRaw})
	wants(t, "CreateVolume beyond the pool", err, fault.Exhausted, "size")
	wants(t, "GrowVolume beyond the pool", d.GrowVolume(ctx, info.ID, 2*spec.GiB), fault.Exhausted, "size")
	for _, name := range []string{"one", "two"} {
		if _, err := d.CreateVM(ctx, small(name)); err != nil {
			t.Fatal(err)
		}
	}
	_, err = d.CreateVM(ctx, small("three"))
	wants(t, "CreateVM beyond the memory", err, fault.Exhausted, "memory")
	if got := inventory(t, d); len(got) != len("one two ")+len(info.ID) {
		t.Errorf("Inventory = %s; want two VMs and one volume", got)
	}
}

func TestPortsAndDisksBelongToOneRunningGuest(t *testing.T) {
	ctx, d := t.Context(), New(Options{})
	vol, err := d.CreateVolume(ctx, spec.Volume{UUID: "11111111-", Name: "a", Size: spec.GiB, Format: spec.FormatRaw})
	if err != nil {
		t.Fatal(err)
	}
	one, port, disk := small("one"), small("port"), small("disk")
	one.Disks = map[string]spec.Disk{"data": {Volume: vol.ID}}
	one.NICs = map[string]spec.NIC{"lan": {Forward: map[uint16]uint16{2222: 22}}}
	port.NICs, disk.Disks = one.NICs, one.Disks
	if _, err := d.CreateVM(ctx, one); err != nil {
		t.Fatal(err)
	}
	_, err = d.CreateVM(ctx, port)
	wants(t, "CreateVM with a port in use", err, fault.Conflict, "nics.lan.forward")
	_, err = d.CreateVM(ctx, disk)
	wants(t, "CreateVM with a disk in use", err, fault.Conflict, "disks.data.volume")
	if err := d.Hand().PowerOff("one"); err != nil {
		t.Fatal(err)
	}
	if _, err := d.CreateVM(ctx, port); err != nil {
		t.Errorf("CreateVM with a port that is free again = %v", err)
	}
}

func TestLeasesAreTheSameWhateverTheOrder(t *testing.T) {
	prefix := netip.MustParsePrefix("10.1.0.0/29")
	seen := map[netip.Addr]bool{}
	n := &network{Network: spec.Network{CIDR: prefix}}
	for i := range 7 {
		mac := fmt.Sprintf("52:54:00:00:00:%02x", i)
		n.lease(mac)
		n.lease(mac) // again: the same one
		if i >= 5 {
			if n.Leases[mac] != "" {
				t.Errorf("lease %d = %s of a /29 that is full, want none", i, n.Leases[mac])
			}
			continue
		}
		ip := netip.MustParseAddr(n.Leases[mac])
		if seen[ip] || !prefix.Contains(ip) || ip.As4()[3] < 2 || ip.As4()[3] > 6 {
			t.Errorf("lease %d = %s; want a new one from .2 to .6", i, ip)
		}
		seen[ip] = true
	}
	forth, back := &network{Network: spec.Network{CIDR: netip.MustParsePrefix("10.1.0.0/16")}}, &network{Network: spec.Network{CIDR: netip.MustParsePrefix("10.1.0.0/16")}}
	for i := range 5 {
		forth.lease(fmt.Sprintf("52:54:00:00:00:%02x", i))
		back.lease(fmt.Sprintf("52:54:00:00:00:%02x", 4-i))
	}
	for mac, ip := range forth.Leases {
		if back.Leases[mac] != ip {
			t.Errorf("lease of %s = %s, and %s in the other order", mac, ip, back.Leases[mac])
		}
	}
}

func TestGuestIsReachedOnceItHasBooted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, d := t.Context(), New(Options{BootTime: time.Minute})
		vm := small("web")
		vm.Boot, vm.NICs = &spec.DirectBoot{Kernel: "/k"}, map[string]spec.NIC{"lan": {Forward: map[uint16]uint16{2222: 22}}}
		if _, err := d.CreateVM(ctx, vm); err != nil {
			t.Fatal(err)
		}
		wants(t, "ReachVM while it boots", d.ReachVM(ctx, vm.UUID, 22), fault.Busy, "")
		wants(t, "ReachVM of another port", d.ReachVM(ctx, vm.UUID, 80), fault.Invalid, "")
		time.Sleep(time.Minute)
		if err := d.ReachVM(ctx, vm.UUID, 22); err != nil {
			t.Errorf("ReachVM after it booted = %v", err)
		}
		if err := d.Hand().Pause("web"); err != nil {
			t.Fatal(err)
		}
		wants(t, "ReachVM while it is paused", d.ReachVM(ctx, vm.UUID, 22), fault.Busy, "")
	})
}

func TestGuestObeysWhenItHasBootedUnlessItIsDeaf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, d := t.Context(), New(Options{BootTime: 10 * time.Second, ShutdownTime: 5 * time.Second})
		vm := small("web")
		vm.Boot = &spec.DirectBoot{Kernel: "/k"}
		if _, err := d.CreateVM(ctx, vm); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		if err := d.StopVM(ctx, vm.UUID, spec.Shutdown{Timeout: time.Minute}); err != nil {
			t.Errorf("StopVM = %v", err)
		}
		if took := time.Since(start); took < 15*time.Second || took > 16*time.Second {
			t.Errorf("StopVM took %s; want the boot and the shutdown", took)
		}
		if err := d.StartVM(ctx, vm.UUID); err != nil {
			t.Fatal(err)
		}
		if err := d.Hand().Deafen("web"); err != nil {
			t.Fatal(err)
		}
		wants(t, "StopVM of a deaf guest", d.StopVM(ctx, vm.UUID, spec.Shutdown{Timeout: time.Minute}), fault.Busy, "")
		canceled, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		wants(t, "StopVM that is given up", d.StopVM(canceled, vm.UUID, spec.Shutdown{Timeout: time.Minute}), fault.Unavailable, "")
	})
}

func TestHandLeavesWhatADriverMustSee(t *testing.T) {
	ctx, d := t.Context(), New(Options{})
	vm := small("web")
	if _, err := d.CreateVM(ctx, vm); err != nil {
		t.Fatal(err)
	}
	hand := d.Hand()
	for what, err := range map[string]error{
		"SetMemory": hand.SetMemory("web", spec.GiB),
		"AddDevice": hand.AddDevice("web", "usb tablet"),
		"Crash":     hand.Crash("web"),
	} {
		if err != nil {
			t.Errorf("%s = %v", what, err)
		}
	}
	info, err := d.VM(ctx, vm.UUID)
	if err != nil || info.Memory != spec.GiB || info.Power != spec.Crashed || len(info.Unmanaged) != 1 {
		t.Errorf("VM = %s %s %q, %v; want 1GiB, crashed, one unmanaged device", info.Memory, info.Power, info.Unmanaged, err)
	}
	if err := hand.DeleteVM("web"); err != nil {
		t.Errorf("DeleteVM = %v", err)
	}
	_, err = d.VM(ctx, vm.UUID)
	wants(t, "VM that somebody deleted", err, fault.NotFound, "")
	if err := hand.DefineVM("22222222-2222-4222-8222-222222222222", "web"); err != nil {
		t.Errorf("DefineVM = %v", err)
	}
	_, err = d.CreateVM(ctx, vm)
	wants(t, "CreateVM beside a foreign VM", err, fault.Conflict, "name")
}
