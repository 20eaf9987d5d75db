package drivertest

import (
	"testing"

	"github.com/novacron/terraform-provider-novacron/internal/backend/driver"
	"github.com/novacron/terraform-provider-novacron/internal/fault"
	"github.com/novacron/terraform-provider-novacron/internal/spec"
)

// crashes is how many crashes of one call are tried at most: a driver that makes
// more calls of its platform than that for one of ours does not end.
const crashes = 400

func crashTests() []test {
	return []test{
		{"a create of a VM, cut anywhere, is completed by the next", (*suite).crashCreate},
		{"an update of a VM that is off, cut anywhere, is completed by the next", (*suite).crashUpdateOff},
		{"an update of a VM that runs, cut anywhere, is completed by the next", (*suite).crashUpdate},
		{"an update that exchanges disks, cut anywhere, is completed by the next", (*suite).crashDisks},
		{"a delete of a VM, cut anywhere, is completed by the next", (*suite).crashDelete},
		{"a VM whose create was cut anywhere is deleted without a trace", (*suite).crashCreateDelete},
		{"a create of a volume, cut anywhere, is completed by the next", (*suite).crashVolume},
		{"a growth of a volume, cut anywhere, is completed by the next", (*suite).crashGrow},
		{"a delete of a volume, cut anywhere, is completed by the next", (*suite).crashVolumeDelete},
		{"a create and a delete of a network, cut anywhere, are completed by the next", (*suite).crashNetwork},
	}
}

// everywhere makes the call with a driver that dies after from, from+stride, ...
// calls of the platform, and what follows after each death, until the call gets
// through; it returns after how many it did.
func (s *suite) everywhere(t *testing.T, from, stride int, before func(), call func(driver.Driver) error, after func(n int)) int {
	t.Helper()
	for n := from; n < crashes; n += stride {
		if before != nil {
			before()
		}
		d := s.CrashAfter(t, n)
		err := call(d)
		d.Close()
		if err == nil && n == 0 {
			t.Fatal("the call succeeded without one call of the platform: the harness does not crash")
		}
		if err != nil && fault.KindOf(err) != fault.Unavailable {
			t.Errorf("cut after %d calls: %v (%s), want %s", n, err, fault.KindOf(err), fault.Unavailable)
		}
		after(n)
		if err == nil {
			t.Logf("cut after %d, %d, ... %d calls", from, from+stride, n-stride)
			return n
		}
		if t.Failed() {
			t.Fatalf("after a crash after %d calls", n)
		}
	}
	t.Fatalf("no end after %d calls", crashes)
	return 0
}

// crashVM is a VM with one of everything that costs little.
func (s *suite) crashVM() spec.VM {
	vm := s.vmSpec("crash")
	vm.Autostart, vm.Labels = true, map[string]string{"a": "1"}
	vm.Disks = map[string]spec.Disk{"root": {Size: 4 * spec.MiB}}
	if s.caps.CloudInit {
		vm.SSHKeys = []string{"ssh-ed25519 AAAA somebody"}
	}
	if s.caps.UserNetworking {
		vm.NICs = map[string]spec.NIC{"lan": {}}
	}
	return vm
}

// whole makes the VM without a crash and returns what then exists.
func (s *suite) whole(t *testing.T, vm spec.VM) []string {
	t.Helper()
	if _, err := s.drv.CreateVM(t.Context(), vm); err != nil {
		t.Fatalf("CreateVM = %v", err)
	}
	return s.Leftovers(t)
}

func (s *suite) crashCreate(t *testing.T) {
	vm := s.crashVM()
	s.dropLater(t, vm.UUID)
	want := s.whole(t, vm)
	s.dropVM(t, vm.UUID)
	create := func(d driver.Driver) error { _, err := d.CreateVM(t.Context(), vm); return err }
	after := func(n int) {
		info, err := s.drv.CreateVM(t.Context(), vm)
		if err != nil {
			t.Errorf("CreateVM after a crash after %d calls = %v", n, err)
			return
		}
		s.reads(t, "CreateVM", info, vm)
		s.same(t, "after the second create", want)
		if c := s.count(t, vm.Name); c != 1 {
			t.Errorf("there are %d VMs %q, want 1", c, vm.Name)
		}
		s.dropVM(t, vm.UUID)
		s.nothingLeft(t)
	}
	n := s.everywhere(t, 0, 1, nil, create, after)
	vm.Power = spec.Running // the same up to here, and then the start
	s.everywhere(t, max(n-4, 0), s.Stride, nil, create, after)
}

func (s *suite) crashCreateDelete(t *testing.T) {
	vm := s.crashVM()
	s.dropLater(t, vm.UUID)
	s.everywhere(t, 0, 1, nil, func(d driver.Driver) error { _, err := d.CreateVM(t.Context(), vm); return err }, func(int) {
		s.dropVM(t, vm.UUID)
		s.nothingLeft(t)
	})
}

func (s *suite) crashUpdate(t *testing.T) {
	vm := s.crashVM()
	vm.Power = spec.Running
	s.crashedUpdate(t, vm, s.Stride, func() bool { return s.Guest(t, vm.UUID).Memory == s.Memory })
}

func (s *suite) crashUpdateOff(t *testing.T) {
	vm, odd := s.crashVM(), false
	s.crashedUpdate(t, vm, 1, func() bool { odd = !odd; return odd })
}

// crashedUpdate changes the VM to and fro, so that each round has something to
// do; small says whether it is at its first definition now.
func (s *suite) crashedUpdate(t *testing.T, vm spec.VM, stride int, small func() bool) {
	s.dropLater(t, vm.UUID)
	want := s.whole(t, vm)
	memory, cpus := vm.Memory, vm.CPUs
	edit := func() {
		if vm.Memory, vm.CPUs, vm.Description = memory, cpus, ""; small() {
			vm.Memory, vm.CPUs, vm.Description = memory*3/2, cpus+1, "changed"
		}
	}
	s.everywhere(t, 0, stride, edit, func(d driver.Driver) error { _, err := update(t, d, vm, hard); return err }, func(n int) {
		info, err := update(t, s.drv, vm, hard)
		if err != nil {
			t.Errorf("UpdateVM after a crash after %d calls = %v", n, err)
			return
		}
		s.reads(t, "UpdateVM", info, vm)
		s.same(t, "after the second update", want)
		if g := s.Guest(t, vm.UUID); g.Start != "" && g.Memory != vm.Memory {
			t.Errorf("after a crash after %d calls and another update the guest runs with %s, and its definition says %s", n, g.Memory, vm.Memory)
		}
	})
}

func (s *suite) crashDisks(t *testing.T) {
	vm := s.crashVM()
	s.dropLater(t, vm.UUID)
	count := len(s.whole(t, vm))
	odd := false
	edit := func() {
		key := "even"
		if odd = !odd; odd {
			key = "odd"
		}
		vm.Disks = map[string]spec.Disk{"root": {Size: 4 * spec.MiB}, key: {Size: 4 * spec.MiB}}
	}
	s.everywhere(t, 0, 1, edit, func(d driver.Driver) error { _, err := update(t, d, vm, hard); return err }, func(n int) {
		info, err := update(t, s.drv, vm, hard)
		if err != nil {
			t.Errorf("UpdateVM after a crash after %d calls = %v", n, err)
			return
		}
		s.reads(t, "UpdateVM", info, vm)
		for key, id := range info.OwnedDisks {
			if _, err := s.drv.Volume(t.Context(), id); err != nil {
				t.Errorf("after a crash after %d calls disk %s has no volume: %v", n, key, err)
			}
		}
	})
	// A removed disk whose delete was cut off may stay until the VM goes.
	if got := s.Leftovers(t); len(got) > count+2 {
		t.Errorf("Leftovers() = %q, want at most %d", got, count+2)
	}
	s.dropVM(t, vm.UUID)
	s.nothingLeft(t)
}

func (s *suite) crashDelete(t *testing.T) {
	vm := s.crashVM()
	s.dropLater(t, vm.UUID)
	s.everywhere(t, 0, 1, func() { s.whole(t, vm) }, func(d driver.Driver) error { return d.DeleteVM(t.Context(), vm.UUID) }, func(n int) {
		if err := s.drv.DeleteVM(t.Context(), vm.UUID); err != nil {
			t.Errorf("DeleteVM after a crash after %d calls = %v", n, err)
		}
		s.nothingLeft(t)
	})
}

func (s *suite) crashVolume(t *testing.T) {
	v := s.volSpec("crash")
	if s.caps.VolumeUpload && s.caps.HasVolumeFormat(spec.FormatRaw) {
		v.Format, v.Size, v.Source = spec.FormatRaw, 4*spec.MiB, &spec.Source{File: s.source(t, 1<<20)}
	}
	s.everywhere(t, 0, 1, nil, func(d driver.Driver) error { _, err := d.CreateVolume(t.Context(), v); return err }, func(n int) {
		info, err := s.drv.CreateVolume(t.Context(), v)
		if err != nil {
			t.Errorf("CreateVolume after a crash after %d calls = %v", n, err)
			return
		}
		s.readsVolume(t, "CreateVolume", info, v)
		if got := s.Leftovers(t); len(got) != 1 {
			t.Errorf("Leftovers() = %q, want one volume", got)
		}
		if err := s.drv.DeleteVolume(t.Context(), info.ID); err != nil {
			t.Errorf("DeleteVolume = %v", err)
		}
		s.nothingLeft(t)
	})
}

func (s *suite) crashGrow(t *testing.T) {
	_, v := s.volume(t, "crash", func(*spec.Volume) {})
	size := v.Size
	if s.without(t, s.caps.VolumeGrow, "size", func() error { return s.drv.GrowVolume(t.Context(), v.ID, 2*size) }) {
		return
	}
	s.everywhere(t, 0, 1, func() { size += spec.MiB }, func(d driver.Driver) error { return d.GrowVolume(t.Context(), v.ID, size) }, func(n int) {
		if err := s.drv.GrowVolume(t.Context(), v.ID, size); err != nil {
			t.Errorf("GrowVolume after a crash after %d calls = %v", n, err)
		}
		if now, err := s.drv.Volume(t.Context(), v.ID); err != nil || now.Size != size {
			t.Errorf("Volume = %s, %v; want %s", now.Size, err, size)
		}
	})
}

func (s *suite) crashVolumeDelete(t *testing.T) {
	v := s.volSpec("crash")
	var id string
	before := func() {
		info, err := s.drv.CreateVolume(t.Context(), v)
		if err != nil {
			t.Fatalf("CreateVolume = %v", err)
		}
		id = info.ID
	}
	s.everywhere(t, 0, 1, before, func(d driver.Driver) error { return d.DeleteVolume(t.Context(), id) }, func(n int) {
		if err := s.drv.DeleteVolume(t.Context(), id); err != nil {
			t.Errorf("DeleteVolume after a crash after %d calls = %v", n, err)
		}
		s.nothingLeft(t)
	})
}

func (s *suite) crashNetwork(t *testing.T) {
	if s.noNetworks(t) {
		return
	}
	n := s.netSpec("crash")
	again := func() {
		info, err := s.drv.CreateNetwork(t.Context(), n)
		if err != nil {
			t.Fatalf("CreateNetwork = %v", err)
		}
		s.readsNetwork(t, "CreateNetwork", info, n)
		if got := s.Leftovers(t); len(got) != 1 {
			t.Errorf("Leftovers() = %q, want one network", got)
		}
	}
	drop := func() {
		if err := s.drv.DeleteNetwork(t.Context(), n.UUID); err != nil {
			t.Errorf("DeleteNetwork = %v", err)
		}
		s.nothingLeft(t)
	}
	s.everywhere(t, 0, 1, nil, func(d driver.Driver) error { _, err := d.CreateNetwork(t.Context(), n); return err }, func(int) {
		again()
		drop()
	})
	s.everywhere(t, 0, 1, again, func(d driver.Driver) error { return d.DeleteNetwork(t.Context(), n.UUID) }, func(int) { drop() })
}
