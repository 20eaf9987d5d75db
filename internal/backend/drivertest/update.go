package drivertest

import (
	"maps"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/novacron/terraform-provider-novacron/internal/backend/driver"
	"github.com/novacron/terraform-provider-novacron/internal/change"
	"github.com/novacron/terraform-provider-novacron/internal/fault"
	"github.com/novacron/terraform-provider-novacron/internal/spec"
)

func updateTests() []test {
	return []test{
		{"a change of class none leaves the guest alone", (*suite).updateNone},
		{"a disk of a running VM grows and the guest runs on", (*suite).updateGrow},
		{"forwarded ports change and the guest runs on", (*suite).updateForward},
		{"a change of class reboot restarts the guest once", (*suite).updateReboot},
		{"a VM that is off is changed and stays off", (*suite).updateOff},
		{"the power state follows the request", (*suite).updatePower},
		{"disks come and go, and a removed one is deleted", (*suite).updateDisks},
		{"a disk on another backing volume is another disk", (*suite).updateBacking},
		{"interfaces come and go", (*suite).updateNICs},
		{"a new seed takes the place of the old one", (*suite).updateSeed},
		{"what is nil in the request stays as it is", (*suite).updateNil},
		{"a disk does not shrink, and nothing else of that update is done", (*suite).updateShrink},
		{"an update does not replace a VM", (*suite).updateReplace},
		{"an update that fails leaves the last good definition and the guest running", (*suite).updateFails},
		{"an update after which the VM does not start is taken back", (*suite).updateDoesNotStart},
		{"a guest that does not obey keeps its definition and runs on", (*suite).updateDisobeyed},
	}
}

// hard is a shutdown that does not wait.
var hard = spec.Shutdown{Force: true}

// update brings the VM to want as the backend does.
func update(t *testing.T, d driver.Driver, want spec.VM, off spec.Shutdown) (spec.VMInfo, error) {
	have, err := d.VM(t.Context(), want.UUID)
	if err != nil {
		return have, err
	}
	plan := change.VM(have.VM, want)
	if plan.Empty() {
		return have, nil
	}
	return d.UpdateVM(t.Context(), want, plan, off)
}

// updated updates the VM and demands that it then is as wanted; it returns the
// guest before and after.
func (s *suite) updated(t *testing.T, want spec.VM, class change.Class) (before, after Guest) {
	t.Helper()
	have, err := s.drv.VM(t.Context(), want.UUID)
	if err != nil {
		t.Fatalf("VM = %v", err)
	}
	if c := change.VM(have.VM, want).Class(); c != class {
		t.Fatalf("the update is of class %s (%+v), want %s", c, change.VM(have.VM, want).Ops, class)
	}
	before = s.Guest(t, want.UUID)
	info, err := update(t, s.drv, want, hard)
	if err != nil {
		t.Fatalf("UpdateVM = %v", err)
	}
	s.reads(t, "UpdateVM", info, want)
	s.isNow(t, want)
	return before, s.Guest(t, want.UUID)
}

// runsOn demands that the guest was not restarted.
func runsOn(t *testing.T, before, after Guest) {
	t.Helper()
	if before != after || before.Start == "" {
		t.Errorf("guest before %+v, after %+v; want the same one, running", before, after)
	}
}

func (s *suite) updateNone(t *testing.T) {
	vm, _ := s.vm(t, "none", func(v *spec.VM) { v.Power, v.Labels = spec.Running, map[string]string{"a": "1", "b": "2"} })
	vm.Description, vm.Labels, vm.Autostart = "another", map[string]string{"a": "one"}, true
	before, after := s.updated(t, vm, change.None)
	runsOn(t, before, after)
	vm.Description, vm.Labels, vm.Autostart = "", map[string]string{}, false
	before, after = s.updated(t, vm, change.None)
	runsOn(t, before, after)
}

func (s *suite) updateGrow(t *testing.T) {
	vm, info := s.vm(t, "grow", func(v *spec.VM) {
		v.Power, v.Disks = spec.Running, map[string]spec.Disk{"root": {Size: 4 * spec.MiB}}
	})
	vm.Disks = map[string]spec.Disk{"root": {Size: 8 * spec.MiB}}
	if s.without(t, s.caps.VolumeGrow, "disks.root.size", func() error { _, err := update(t, s.drv, vm, hard); return err }) {
		return
	}
	before, after := s.updated(t, vm, change.Live)
	runsOn(t, before, after)
	vol, err := s.drv.Volume(t.Context(), info.OwnedDisks["root"])
	if err != nil || vol.Size != 8*spec.MiB {
		t.Errorf("Volume = %s, %v; want 8MiB", vol.Size, err)
	}
}

func (s *suite) updateForward(t *testing.T) {
	vm := s.vmSpec("ports")
	vm.Power = spec.Running
	vm.NICs = map[string]spec.NIC{"lan": {Forward: map[uint16]uint16{freePort(t): 22}}}
	s.dropLater(t, vm.UUID)
	create := func() error { _, err := s.drv.CreateVM(t.Context(), vm); return err }
	if s.without(t, s.caps.UserNetworking, "nics.lan.network", create) {
		return
	}
	if err := create(); err != nil {
		t.Fatalf("CreateVM = %v", err)
	}
	vm0 := vm
	vm.NICs = map[string]spec.NIC{"lan": {Forward: map[uint16]uint16{freePort(t): 22, freePort(t): 80}}}
	s.leads(t, "after the create", vm0)
	before, after := s.updated(t, vm, change.Live)
	runsOn(t, before, after)
	s.leads(t, "after the update", vm)
	vm.NICs = map[string]spec.NIC{"lan": {}}
	before, after = s.updated(t, vm, change.Live)
	runsOn(t, before, after)
	s.leads(t, "after the ports went", vm)
}

// leads demands that the ports that the VM forwards, and no others, lead into
// its guest.
func (s *suite) leads(t *testing.T, when string, vm spec.VM) {
	t.Helper()
	if s.Forwards == nil {
		return
	}
	want := slices.Sorted(maps.Keys(vm.NICs["lan"].Forward))
	if got := s.Forwards(t, vm.UUID); !slices.Equal(got, want) {
		t.Errorf("%s the ports %v lead into the guest, want %v", when, got, want)
	}
}

// freePort returns a TCP port that nobody listens on.
func freePort(t *testing.T) uint16 {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).AddrPort().Port()
}

func (s *suite) updateReboot(t *testing.T) {
	vm, _ := s.vm(t, "reboot", func(v *spec.VM) { v.Power = spec.Running })
	if got := s.Guest(t, vm.UUID).Memory; got != s.Memory {
		t.Errorf("the guest has %s, want %s", got, s.Memory)
	}
	vm.Memory, vm.CPUs = s.Memory*3/2, 2
	before, after := s.updated(t, vm, change.Reboot)
	if after.Start == "" || after.Start == before.Start || after.Memory != vm.Memory {
		t.Errorf("guest before %+v, after %+v; want it restarted with %s", before, after, vm.Memory)
	}
}

func (s *suite) updateOff(t *testing.T) {
	vm, _ := s.vm(t, "off", func(v *spec.VM) { v.Disks = map[string]spec.Disk{"root": {Size: 4 * spec.MiB}} })
	vm.Memory, vm.CPUs = s.Memory*3/2, 2
	vm.Disks = map[string]spec.Disk{"root": {Size: 4 * spec.MiB, Bus: spec.BusSATA}}
	if _, after := s.updated(t, vm, change.None); after.Start != "" {
		t.Errorf("guest after the update %+v, want it off", after)
	}
}

func (s *suite) updatePower(t *testing.T) {
	vm, _ := s.vm(t, "onoff", func(*spec.VM) {})
	vm.Power, vm.Memory = spec.Running, s.Memory*3/2
	if _, after := s.updated(t, vm, change.Live); after.Start == "" || after.Memory != vm.Memory {
		t.Errorf("guest after it was switched on %+v, want it running with %s", after, vm.Memory)
	}
	vm.Power, vm.Memory = spec.Stopped, s.Memory
	if _, after := s.updated(t, vm, change.Reboot); after.Start != "" {
		t.Errorf("guest after it was switched off %+v, want it off", after)
	}
}

func (s *suite) updateNil(t *testing.T) {
	vm, _ := s.vm(t, "nil", func(v *spec.VM) {
		v.Labels = map[string]string{"a": "1"}
		v.Disks = map[string]spec.Disk{"root": {Size: 4 * spec.MiB}}
		if s.caps.UserNetworking {
			v.NICs = map[string]spec.NIC{"lan": {}}
		}
	})
	want := vm
	want.Labels, want.Disks, want.NICs, want.CPUs = nil, nil, nil, 2
	s.updated(t, want, change.None)
	vm.CPUs = 2
	s.isNow(t, vm)
}

func (s *suite) updateShrink(t *testing.T) {
	vm, _ := s.vm(t, "shrink", func(v *spec.VM) {
		v.Power, v.Disks = spec.Running, map[string]spec.Disk{"root": {Size: 8 * spec.MiB}}
	})
	before := s.Guest(t, vm.UUID)
	want := vm
	want.Disks = map[string]spec.Disk{"root": {Size: 4 * spec.MiB}, "new": {Size: 4 * spec.MiB}}
	_, err := update(t, s.drv, want, hard)
	fails(t, "UpdateVM to a smaller disk", err, fault.Invalid, "disks.root.size")
	s.isNow(t, vm)
	runsOn(t, before, s.Guest(t, vm.UUID))
	if got := s.Leftovers(t); len(got) != 2 {
		t.Errorf("Leftovers() = %q; want the VM and its disk", got)
	}
}

func (s *suite) updateReplace(t *testing.T) {
	vm, _ := s.vm(t, "replace", func(*spec.VM) {})
	want := vm
	want.Name += "d"
	_, err := update(t, s.drv, want, hard)
	fails(t, "UpdateVM to another name", err, fault.Invalid, "name")
	s.isNow(t, vm)
}

func (s *suite) updateFails(t *testing.T) {
	vm, _ := s.vm(t, "fails", func(v *spec.VM) {
		v.Power, v.Disks = spec.Running, map[string]spec.Disk{"root": {Size: 4 * spec.MiB}}
	})
	before := s.Guest(t, vm.UUID)
	want := vm
	want.Memory = s.Memory * 3 / 2
	want.Disks = maps.Clone(vm.Disks)
	want.Disks["new"] = spec.Disk{Size: 4 * spec.MiB}
	want.Disks["bad"] = spec.Disk{Volume: s.pool() + "/" + s.Prefix + "nothing"}
	_, err := update(t, s.drv, want, hard)
	fails(t, "UpdateVM with a volume that does not exist", err, fault.NotFound, "disks.bad.volume")
	s.isNow(t, vm)
	if after := s.Guest(t, vm.UUID); after.Start == "" || after.Memory != before.Memory {
		t.Errorf("guest before %+v, after %+v; want it running with the same memory", before, after)
	}
	if got := s.Leftovers(t); len(got) != 2 {
		t.Errorf("Leftovers() = %q; want the VM and its disk", got)
	}
}

func (s *suite) updateDoesNotStart(t *testing.T) {
	if s.Mock {
		t.Log("every VM of a mock starts: nothing to prove")
		return
	}
	vm, _ := s.vm(t, "huge", func(v *spec.VM) {
		v.Power, v.Disks = spec.Running, map[string]spec.Disk{"root": {Size: 4 * spec.MiB}}
	})
	before := s.Guest(t, vm.UUID)
	want := vm
	want.Memory = tooMuch
	want.Disks = map[string]spec.Disk{"root": {Size: 4 * spec.MiB}, "new": {Size: 4 * spec.MiB}}
	_, err := update(t, s.drv, want, hard)
	notStarted(t, "UpdateVM", err)
	s.isNow(t, vm)
	if after := s.Guest(t, vm.UUID); after.Start == "" || after.Memory != before.Memory {
		t.Errorf("guest before %+v, after %+v; want it running again with the same memory", before, after)
	}
	if got := s.Leftovers(t); len(got) != 2 {
		t.Errorf("Leftovers() = %q; want the VM and its disk", got)
	}
}

func (s *suite) updateDisobeyed(t *testing.T) {
	if s.Mock {
		t.Log("every guest of a mock obeys: nothing to prove")
		return
	}
	vm, _ := s.vm(t, "stubborn", func(v *spec.VM) { v.Power = spec.Running })
	before := s.Guest(t, vm.UUID)
	want := vm
	want.Memory = s.Memory * 3 / 2
	_, err := update(t, s.drv, want, spec.Shutdown{Timeout: 300 * time.Millisecond})
	fails(t, "UpdateVM of a guest that does not obey", err, fault.Busy, "")
	s.isNow(t, vm)
	runsOn(t, before, s.Guest(t, vm.UUID))
}

// sorted returns the names in order, for a comparison.
func sorted(names []string) []string { return slices.Sorted(slices.Values(names)) }

// same demands that the platform holds the names and nothing else.
func (s *suite) same(t *testing.T, when string, want []string) {
	t.Helper()
	if diff := cmp.Diff(sorted(want), sorted(s.Leftovers(t))); diff != "" {
		t.Errorf("what exists %s (-want +got):\n%s", when, strings.TrimSpace(diff))
	}
}
