package drivertest

import (
	"testing"
	"time"

	"github.com/novacron/terraform-provider-novacron/internal/fault"
	"github.com/novacron/terraform-provider-novacron/internal/spec"
)

// tooMuch is more memory than any host gives a guest.
const tooMuch = 1024 * spec.TiB

func (s *suite) doesNotStart(t *testing.T) {
	if s.Mock {
		t.Log("every VM of a mock starts: nothing to prove")
		return
	}
	vm := s.vmSpec("huge")
	vm.Power, vm.Memory = spec.Running, tooMuch
	vm.Disks = map[string]spec.Disk{"root": {Size: 4 * spec.MiB}}
	s.dropLater(t, vm.UUID)
	_, err := s.drv.CreateVM(t.Context(), vm)
	notStarted(t, "CreateVM", err)
	s.nothingLeft(t)
}

// notStarted demands an error of a kind that does not mislead.
func notStarted(t *testing.T, call string, err error) {
	t.Helper()
	switch k := fault.KindOf(err); k {
	case "", fault.NotFound, fault.Unavailable, fault.Busy, fault.Canceled, fault.Conflict:
		t.Errorf("%s with %s of memory = %v (%s): that is not what is wrong", call, tooMuch, err, k)
	}
}

func (s *suite) power(t *testing.T) {
	vm, _ := s.vm(t, "power", func(*spec.VM) {})
	for range 2 {
		if err := s.drv.StartVM(t.Context(), vm.UUID); err != nil {
			t.Errorf("StartVM = %v", err)
		}
	}
	vm.Power = spec.Running
	s.isNow(t, vm)
	for range 2 {
		if err := s.drv.StopVM(t.Context(), vm.UUID, spec.Shutdown{}); err != nil {
			t.Errorf("StopVM = %v", err)
		}
	}
	vm.Power = spec.Stopped
	s.isNow(t, vm)
}

// isNow demands that the VM reads as the one asked for.
func (s *suite) isNow(t *testing.T, want spec.VM) spec.VMInfo {
	t.Helper()
	info, err := s.drv.VM(t.Context(), want.UUID)
	if err != nil {
		t.Fatalf("VM(%q) = %v", want.Name, err)
	}
	s.reads(t, "VM", info, want)
	return info
}

func (s *suite) disobeys(t *testing.T) {
	vm, _ := s.vm(t, "deaf", func(v *spec.VM) { v.Power = spec.Running })
	if !s.Mock {
		before := s.Guest(t, vm.UUID)
		err := s.drv.StopVM(t.Context(), vm.UUID, spec.Shutdown{Timeout: 300 * time.Millisecond})
		fails(t, "StopVM of a guest without an operating system", err, fault.Busy, "")
		runsOn(t, before, s.Guest(t, vm.UUID))
	}
	if err := s.drv.StopVM(t.Context(), vm.UUID, spec.Shutdown{Timeout: 300 * time.Millisecond, Force: true}); err != nil {
		t.Errorf("StopVM with force = %v", err)
	}
	vm.Power = spec.Stopped
	s.isNow(t, vm)
}

func (s *suite) boots(t *testing.T) {
	if s.Boot == nil {
		t.Log("the harness has no guest to boot: nothing to prove")
		return
	}
	vm := s.vmSpec("boots")
	vm.Power, vm.Boot, vm.Memory = spec.Running, s.Boot, 128*spec.MiB
	networked := len(s.caps.NetworkModes) > 0
	if networked {
		s.network(t, "lan", func(*spec.Network) {})
		vm.NICs = map[string]spec.NIC{"lan": {Network: s.Prefix + "lan"}}
	}
	s.dropLater(t, vm.UUID)
	if _, err := s.drv.CreateVM(t.Context(), vm); err != nil {
		t.Fatalf("CreateVM = %v", err)
	}
	end := time.Now().Add(s.BootTime)
	for networked {
		info, err := s.drv.VM(t.Context(), vm.UUID)
		if err != nil {
			t.Fatalf("VM = %v", err)
		}
		if a := info.Addresses; len(a) > 0 {
			if a[0].NIC != "lan" || a[0].MAC != vm.MACFor("lan") || !s.netSpec("lan").CIDR.Contains(a[0].IP) {
				t.Errorf("Addresses = %+v; want one of lan with its MAC in %s", a, s.netSpec("lan").CIDR)
			}
			break
		}
		if time.Now().After(end) {
			t.Fatalf("no address after %s", s.BootTime)
		}
		time.Sleep(100 * time.Millisecond)
	}
	if err := s.drv.StopVM(t.Context(), vm.UUID, spec.Shutdown{Timeout: s.BootTime}); err != nil {
		t.Errorf("StopVM without force = %v; want the guest to obey", err)
	}
}
