package drivertest

import (
	"testing"

	"github.com/novacron/terraform-provider-novacron/internal/change"
	"github.com/novacron/terraform-provider-novacron/internal/fault"
	"github.com/novacron/terraform-provider-novacron/internal/spec"
)

func (s *suite) updateDisks(t *testing.T) {
	_, vol := s.volume(t, "plugged", func(*spec.Volume) {})
	vm, info := s.vm(t, "disks", func(v *spec.VM) {
		v.Power = spec.Running
		v.Disks = map[string]spec.Disk{"root": {Size: 4 * spec.MiB}, "old": {Size: 4 * spec.MiB}}
	})
	removed := info.OwnedDisks["old"]
	vm.Disks = map[string]spec.Disk{"root": {Size: 4 * spec.MiB}, "new": {Size: 4 * spec.MiB}, "vol": {Volume: vol.ID}}
	before, after := s.updated(t, vm, change.Reboot)
	if after.Start == before.Start || after.Start == "" {
		t.Errorf("guest before %+v, after %+v; want it restarted", before, after)
	}
	_, err := s.drv.Volume(t.Context(), removed)
	fails(t, "Volume of a disk that was removed", err, fault.NotFound, "")
	now := s.isNow(t, vm)
	if now.OwnedDisks["root"] != info.OwnedDisks["root"] {
		t.Errorf("the disk that stayed was %s and is %s", info.OwnedDisks["root"], now.OwnedDisks["root"])
	}
	vm.Disks = map[string]spec.Disk{}
	s.updated(t, vm, change.Reboot)
	if got := s.Leftovers(t); len(got) != 2 {
		t.Errorf("Leftovers() = %q; want the VM and the volume that it used", got)
	}
}

func (s *suite) updateBacking(t *testing.T) {
	_, one := s.volume(t, "one", func(v *spec.Volume) { v.Size = 4 * spec.MiB })
	_, two := s.volume(t, "two", func(v *spec.Volume) { v.Size = 8 * spec.MiB })
	vm := s.vmSpec("backed")
	vm.Power = spec.Running
	vm.Disks = map[string]spec.Disk{"root": {Backing: one.ID}}
	s.dropLater(t, vm.UUID)
	create := func() error { _, err := s.drv.CreateVM(t.Context(), vm); return err }
	if s.without(t, s.caps.VolumeBacking, "disks.root.backing", create) {
		return
	}
	if err := create(); err != nil {
		t.Fatalf("CreateVM = %v", err)
	}
	vm.Disks = map[string]spec.Disk{"root": {Backing: two.ID}}
	s.updated(t, vm, change.Reboot)
	if now := s.isNow(t, vm); now.Disks["root"].Size != 8*spec.MiB {
		t.Errorf("the disk is %s large, want 8MiB as its new backing volume", now.Disks["root"].Size)
	}
	if users, err := s.drv.VolumeUsers(t.Context(), one.ID); err != nil || len(users) != 0 {
		t.Errorf("VolumeUsers of the former backing volume = %q, %v; want none", users, err)
	}
}

func (s *suite) updateNICs(t *testing.T) {
	vm := s.vmSpec("nics")
	vm.NICs = map[string]spec.NIC{"a": {}, "b": {}}
	s.dropLater(t, vm.UUID)
	create := func() error { _, err := s.drv.CreateVM(t.Context(), vm); return err }
	one := vm.NICs
	if !s.caps.UserNetworking {
		vm.NICs = map[string]spec.NIC{"a": {}}
	}
	if s.without(t, s.caps.UserNetworking, "nics.a.network", create) {
		return
	}
	if err := create(); err != nil {
		t.Fatalf("CreateVM = %v", err)
	}
	keep := vm.MACFor("b")
	vm.NICs = map[string]spec.NIC{"b": one["b"], "c": {Model: "e1000", MAC: "52:54:00:ab:cd:ef"}}
	s.updated(t, vm, change.None)
	if now := s.isNow(t, vm); now.NICs["b"].MAC != keep || len(now.NICs) != 2 {
		t.Errorf("NICs = %+v; want b with its MAC %s, and c", now.NICs, keep)
	}
	vm.NICs = map[string]spec.NIC{}
	s.updated(t, vm, change.None)
}

func (s *suite) updateSeed(t *testing.T) {
	vm := s.vmSpec("reseed")
	vm.SSHKeys = []string{"ssh-ed25519 AAAA one"}
	s.dropLater(t, vm.UUID)
	create := func() error { _, err := s.drv.CreateVM(t.Context(), vm); return err }
	if s.without(t, s.caps.CloudInit, "cloud_init", create) {
		return
	}
	if err := create(); err != nil {
		t.Fatalf("CreateVM = %v", err)
	}
	one := s.seedOf(t, vm)
	vm.SSHKeys = []string{"ssh-ed25519 AAAA two"}
	s.updated(t, vm, change.None)
	if two := s.seedOf(t, vm); s.Seed != nil && (two == one || two == "") {
		t.Errorf("the seed is %q after its update, as before", two)
	}
	if got := s.Leftovers(t); len(got) != 2 {
		t.Errorf("Leftovers() = %q; want the VM and one seed", got)
	}
	vm.SSHKeys = nil
	s.updated(t, vm, change.None)
	if got := s.Leftovers(t); len(got) != 1 {
		t.Errorf("Leftovers() without a seed = %q; want the VM only", got)
	}
	vm.CloudInit = &spec.CloudInit{UserData: "#cloud-config\n"}
	s.updated(t, vm, change.None)
}

// seedOf returns what identifies the VM's seed, where one can look.
func (s *suite) seedOf(t *testing.T, vm spec.VM) string {
	t.Helper()
	if s.Seed == nil {
		return ""
	}
	return s.Seed(t, vm.UUID)
}
