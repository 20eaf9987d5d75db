package drivertest

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/novacron/terraform-provider-novacron/internal/backend/driver"
	"github.com/novacron/terraform-provider-novacron/internal/change"
	"github.com/novacron/terraform-provider-novacron/internal/fault"
	"github.com/novacron/terraform-provider-novacron/internal/spec"
)

func vmTests() []test {
	return []test{
		{"a VM reads back as it was asked for", (*suite).readsBack},
		{"a VM is found by its UUID, its name and in the list", (*suite).found},
		{"a VM that does not exist is not found", (*suite).absentVM},
		{"creating a VM again returns the one there is and does not restart it", (*suite).createdAgain},
		{"creating a VM again with another definition brings it to that one", (*suite).createdAgainOther},
		{"a name that another identity has is a conflict, and its VM is not touched", (*suite).nameTaken},
		{"a reference to what does not exist is not found at its field, and nothing is left", (*suite).badReference},
		{"a VM that does not start leaves nothing", (*suite).doesNotStart},
		{"owned disks are named after the VM, are in use, and go with it", (*suite).ownedDisks},
		{"a volume that the VM only uses stays", (*suite).usedVolume},
		{"an overlay is as large as its backing volume unless it is asked to be larger", (*suite).overlay},
		{"a VM boots a kernel of the host", (*suite).directBoot},
		{"a seed reads as its digest and goes with the VM", (*suite).seeded},
		{"a VM without a network has user networking with forwarded ports", (*suite).userNetworking},
		{"a VM is on the network it names", (*suite).networked},
		{"starting and stopping twice is not an error", (*suite).power},
		{"a guest that does not obey is busy and runs on, unless it may be forced", (*suite).disobeys},
		{"a guest that boots has an address and obeys", (*suite).boots},
		{"a running VM is not deleted; one that is gone is", (*suite).deletes},
		{"ten VMs are made at once", (*suite).tenAtOnce},
		{"the same VM made twice at once is one VM", (*suite).twiceAtOnce},
		{"the same VM made by two processes at once is one VM", (*suite).twoProcesses},
		{"a create that is cut short is finished by the next", (*suite).cutShort},
	}
}

func (s *suite) readsBack(t *testing.T) {
	vm, info := s.vm(t, "full", func(v *spec.VM) {
		v.Description = "what it is for, with <angles>, \"quotes\" and ünïcode"
		v.Labels = map[string]string{"team": "web & co", "tier": "<1>"}
		v.CPUs, v.Autostart = 2, true
		v.Disks = map[string]spec.Disk{
			"root": {Size: 8 * spec.MiB},
			"data": {Size: 4 * spec.MiB, Bus: spec.BusSATA},
			"ro":   {Size: 4 * spec.MiB, Bus: spec.BusSCSI, ReadOnly: true},
		}
		if s.caps.UserNetworking {
			v.NICs = map[string]spec.NIC{"lan": {}, "wan": {MAC: "52:54:00:12:34:56", Model: "e1000"}}
		}
	})
	s.reads(t, "CreateVM", info, vm)
	info, err := s.drv.VM(t.Context(), vm.UUID)
	if err != nil {
		t.Fatalf("VM = %v", err)
	}
	s.reads(t, "VM", info, vm)
	if info.Transient || len(info.Unmanaged) != 0 {
		t.Errorf("VM is transient %v, has unmanaged devices %q; want false and none", info.Transient, info.Unmanaged)
	}
}

func (s *suite) found(t *testing.T) {
	vm, created := s.vm(t, "found", func(*spec.VM) {})
	named, err := s.drv.FindVM(t.Context(), vm.Name)
	if err != nil {
		t.Errorf("FindVM(%q) = %v", vm.Name, err)
	}
	list, err := s.drv.ListVMs(t.Context())
	if err != nil {
		t.Errorf("ListVMs() = %v", err)
	}
	i := slices.IndexFunc(list, func(v spec.VMInfo) bool { return v.UUID == vm.UUID })
	if i < 0 {
		t.Fatalf("ListVMs() = %d VMs without %s", len(list), vm.UUID)
	}
	for call, got := range map[string]spec.VMInfo{"FindVM": named, "ListVMs": list[i]} {
		if diff := cmp.Diff(created, got); diff != "" {
			t.Errorf("%s differs from CreateVM (-created +got):\n%s", call, diff)
		}
	}
}

func (s *suite) absentVM(t *testing.T) {
	ctx, vm := t.Context(), s.vmSpec("absent")
	for call, f := range map[string]func() error{
		"VM":       func() error { _, err := s.drv.VM(ctx, vm.UUID); return err },
		"FindVM":   func() error { _, err := s.drv.FindVM(ctx, vm.Name); return err },
		"UpdateVM": func() error { _, err := s.drv.UpdateVM(ctx, vm, change.Plan{}, spec.Shutdown{}); return err },
		"StartVM":  func() error { return s.drv.StartVM(ctx, vm.UUID) },
		"StopVM":   func() error { return s.drv.StopVM(ctx, vm.UUID, spec.Shutdown{}) },
		"StopVM with patience": func() error {
			return s.drv.StopVM(ctx, vm.UUID, spec.Shutdown{Timeout: time.Second})
		},
	} {
		fails(t, call+" of a VM that does not exist", f(), fault.NotFound, "")
	}
	if err := s.drv.DeleteVM(ctx, vm.UUID); err != nil {
		t.Errorf("DeleteVM of a VM that does not exist = %v, want nil", err)
	}
	if s.count(t, vm.Name) != 0 {
		t.Errorf("ListVMs() has %q, which does not exist", vm.Name)
	}
}

func (s *suite) createdAgain(t *testing.T) {
	vm, first := s.vm(t, "again", func(v *spec.VM) {
		v.Power = spec.Running
		v.Disks = map[string]spec.Disk{"root": {Size: 4 * spec.MiB}}
	})
	before, left := s.Guest(t, vm.UUID), s.Leftovers(t)
	second, err := s.drv.CreateVM(t.Context(), vm)
	if err != nil {
		t.Fatalf("CreateVM again = %v", err)
	}
	if diff := cmp.Diff(first, second); diff != "" {
		t.Errorf("CreateVM again (-first +second):\n%s", diff)
	}
	if after := s.Guest(t, vm.UUID); after != before || before.Start == "" {
		t.Errorf("guest before %+v, after %+v; want the same one, running", before, after)
	}
	if diff := cmp.Diff(sorted(left), sorted(s.Leftovers(t))); diff != "" {
		t.Errorf("what exists (-after the first +after the second):\n%s", diff)
	}
}

func (s *suite) createdAgainOther(t *testing.T) {
	vm, _ := s.vm(t, "other", func(v *spec.VM) {
		v.Disks = map[string]spec.Disk{"root": {Size: 4 * spec.MiB}, "old": {Size: 4 * spec.MiB}}
	})
	vm.CPUs, vm.Memory, vm.Description = 2, s.Memory*3/2, "now it has one"
	vm.Disks = map[string]spec.Disk{"root": {Size: 4 * spec.MiB}, "new": {Size: 4 * spec.MiB}}
	if s.caps.VolumeGrow {
		vm.Disks["root"] = spec.Disk{Size: 8 * spec.MiB}
	}
	info, err := s.drv.CreateVM(t.Context(), vm)
	if err != nil {
		t.Fatalf("CreateVM again = %v", err)
	}
	s.reads(t, "CreateVM again", info, vm)
	if got := len(s.Leftovers(t)); got != 3 {
		t.Errorf("Leftovers() = %q; want the VM and its two disks", s.Leftovers(t))
	}
	if n := s.count(t, vm.Name); n != 1 {
		t.Errorf("there are %d VMs %q, want 1", n, vm.Name)
	}
}

func (s *suite) nameTaken(t *testing.T) {
	theirs, before := s.vm(t, "taken", func(v *spec.VM) { v.Disks = map[string]spec.Disk{"root": {Size: 4 * spec.MiB}} })
	left := s.Leftovers(t)
	mine := theirs
	mine.UUID = spec.Identity(s.Prefix, "vm", theirs.Name, "another")
	s.dropLater(t, mine.UUID)
	_, err := s.drv.CreateVM(t.Context(), mine)
	fails(t, "CreateVM with a name that is taken", err, fault.Conflict, "name")
	after, err := s.drv.VM(t.Context(), theirs.UUID)
	if err != nil {
		t.Fatalf("VM = %v", err)
	}
	if diff := cmp.Diff(before, after); diff != "" {
		t.Errorf("the VM that has the name (-before +after):\n%s", diff)
	}
	if diff := cmp.Diff(sorted(left), sorted(s.Leftovers(t))); diff != "" {
		t.Errorf("what exists (-before +after):\n%s", diff)
	}
}

func (s *suite) badReference(t *testing.T) {
	good := spec.Disk{Size: 4 * spec.MiB}
	cases := []struct {
		field string
		has   bool
		edit  func(*spec.VM)
	}{
		{"disks.data.volume", true, func(v *spec.VM) {
			v.Disks = map[string]spec.Disk{"a": good, "data": {Volume: s.pool() + "/" + s.Prefix + "nothing"}}
		}},
		{"disks.data.pool", true, func(v *spec.VM) {
			v.Disks = map[string]spec.Disk{"a": good, "data": {Size: 4 * spec.MiB, Pool: s.Prefix + "nopool"}}
		}},
		{"disks.data.backing", s.caps.VolumeBacking, func(v *spec.VM) {
			v.Disks = map[string]spec.Disk{"a": good, "data": {Backing: s.pool() + "/" + s.Prefix + "nothing"}}
		}},
		{"nics.lan.network", len(s.caps.NetworkModes) > 0, func(v *spec.VM) {
			v.Disks, v.NICs = map[string]spec.Disk{"a": good}, map[string]spec.NIC{"lan": {Network: s.Prefix + "nowhere"}}
		}},
	}
	for _, c := range cases {
		vm := s.vmSpec("bad")
		vm.Power = spec.Running
		c.edit(&vm)
		create := func() error { _, err := s.drv.CreateVM(t.Context(), vm); return err }
		s.dropLater(t, vm.UUID)
		if !s.without(t, c.has, c.field, create) {
			fails(t, "CreateVM with a bad "+c.field, create(), fault.NotFound, c.field)
		}
		s.nothingLeft(t)
	}
}

func (s *suite) deletes(t *testing.T) {
	vm, _ := s.vm(t, "gone", func(v *spec.VM) { v.Power = spec.Running })
	fails(t, "DeleteVM of a running VM", s.drv.DeleteVM(t.Context(), vm.UUID), fault.Busy, "")
	s.isNow(t, vm)
	s.dropVM(t, vm.UUID)
	if err := s.drv.DeleteVM(t.Context(), vm.UUID); err != nil {
		t.Errorf("DeleteVM again = %v, want nil", err)
	}
	_, err := s.drv.VM(t.Context(), vm.UUID)
	fails(t, "VM after its delete", err, fault.NotFound, "")
}

func (s *suite) tenAtOnce(t *testing.T) {
	vms := make([]spec.VM, 10)
	for i := range vms {
		vms[i] = s.vmSpec(fmt.Sprintf("many%d", i))
		vms[i].Disks = map[string]spec.Disk{"root": {Size: 4 * spec.MiB}}
		s.dropLater(t, vms[i].UUID)
	}
	err := together(len(vms), func(i int) error { _, err := s.drv.CreateVM(t.Context(), vms[i]); return err })
	if err != nil {
		t.Errorf("ten CreateVM at once = %v", err)
	}
	for _, vm := range vms {
		s.isNow(t, vm)
	}
}

func (s *suite) twiceAtOnce(t *testing.T) {
	vm := s.vmSpec("twice")
	vm.Disks = map[string]spec.Disk{"root": {Size: 4 * spec.MiB}}
	s.dropLater(t, vm.UUID)
	err := together(2, func(int) error { _, err := s.drv.CreateVM(t.Context(), vm); return err })
	if err != nil {
		t.Errorf("CreateVM twice at once = %v", err)
	}
	s.isNow(t, vm)
	if got := s.Leftovers(t); len(got) != 2 {
		t.Errorf("Leftovers() = %q; want the VM and its disk", got)
	}
}

func (s *suite) twoProcesses(t *testing.T) {
	vm := s.vmSpec("twice")
	vm.Disks = map[string]spec.Disk{"root": {Size: 4 * spec.MiB}}
	s.dropLater(t, vm.UUID)
	other := s.Open(t)
	defer other.Close()
	// One of them may fail, or lose what it made: libvirtd forgets a VM that is
	// defined twice in the same moment. Terraform locks its state against this; what
	// counts is that the next call finds one VM or makes it.
	err := together(2, func(i int) error {
		_, err := []driver.Driver{s.drv, other}[i].CreateVM(t.Context(), vm)
		return err
	})
	t.Logf("at once: %v", err)
	info, err := s.drv.CreateVM(t.Context(), vm)
	if err != nil {
		t.Fatalf("CreateVM after two at once = %v", err)
	}
	s.reads(t, "CreateVM", info, vm)
	if got := s.Leftovers(t); len(got) != 2 {
		t.Errorf("Leftovers() = %q; want the VM and its disk", got)
	}
}

func (s *suite) cutShort(t *testing.T) {
	vm := s.vmSpec("cut")
	vm.Power = spec.Running
	vm.Disks = map[string]spec.Disk{"root": {Size: 4 * spec.MiB}}
	s.dropLater(t, vm.UUID)
	for _, after := range []time.Duration{time.Millisecond, 10 * time.Millisecond, 50 * time.Millisecond} {
		ctx, cancel := context.WithCancel(t.Context())
		timer := time.AfterFunc(after, cancel)
		_, err := s.drv.CreateVM(ctx, vm)
		timer.Stop()
		cancel()
		if k := fault.KindOf(err); err != nil && k != fault.Canceled {
			t.Errorf("CreateVM canceled after %s = %v (%s), want %s", after, err, k, fault.Canceled)
		}
	}
	info, err := s.drv.CreateVM(t.Context(), vm)
	if err != nil {
		t.Fatalf("CreateVM after three that were canceled = %v", err)
	}
	s.reads(t, "CreateVM", info, vm)
	if got := s.Leftovers(t); len(got) != 2 {
		t.Errorf("Leftovers() = %q; want the VM and its disk", got)
	}
}
