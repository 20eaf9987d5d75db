// Package drivertest is the conformance suite of the driver contract: every
// driver passes the same tests, so that everybody above may rely on the same
// behaviour.
//
// A driver adds a Harness and no tests of its own. A power that a driver does
// not declare is not skipped: the suite then demands fault.Unsupported. The
// suite makes real objects under Harness.Prefix, needs no operating system in
// the guests unless Harness.Boot brings one, and after each of its tests demands
// that nothing is left.
package drivertest

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/novacron/terraform-provider-novacron/internal/backend/driver"
	"github.com/novacron/terraform-provider-novacron/internal/change"
	"github.com/novacron/terraform-provider-novacron/internal/fault"
	"github.com/novacron/terraform-provider-novacron/internal/spec"
)

// Harness is what the suite needs to know of a platform. Fields without a word
// on their zero value are required.
type Harness struct {
	Prefix string       // of the name of everything that the suite makes
	CIDR   netip.Prefix // free on the platform, /28 or wider: networks are made in it
	Memory spec.Size    // of a VM; 0 is 64MiB. Half and one and a half of it are used too

	// Open returns a driver with a connection of its own to the platform, the
	// same platform each time. The suite closes it.
	Open func(t testing.TB) driver.Driver

	// CrashAfter is Open with a driver that makes n calls of the platform and
	// then never gets another one through, as after kill -9: whatever it would
	// still do, it cannot.
	CrashAfter func(t testing.TB, n int) driver.Driver

	// Stride is how many calls lie between two crashes that are tried where each
	// costs the start of a guest; 0 is 1. Elsewhere every call is tried.
	Stride int

	// Mock says that the platform is a mock itself: its guests obey at once
	// without being there, and its networks know neither who is on them nor that
	// their ranges overlap.
	Mock bool

	// Leftovers names everything on the platform whose name carries the prefix:
	// VMs, volumes, networks.
	Leftovers func(t testing.TB) []string

	// Guest looks at the VM from outside the driver.
	Guest func(t testing.TB, uuid string) Guest

	// Seed returns what identifies the contents of the VM's seed on the platform,
	// and Forwards the ports of the host that lead into the running guest, sorted.
	// Nil where the platform does not let anybody look.
	Seed     func(t testing.TB, uuid string) string
	Forwards func(t testing.TB, uuid string) []uint16

	// Boot is a guest that takes DHCP leases and obeys shutdown requests; nil
	// when the platform has none to boot. BootTime is how long it may take.
	Boot     *spec.DirectBoot
	BootTime time.Duration
}

// Guest is what runs of a VM.
type Guest struct {
	Start  string    // differs from start to start; "" while the VM is off
	Memory spec.Size // that the guest was started with
}

// Run proves that the driver obeys the contract.
func Run(t *testing.T, h Harness) {
	if h.Memory == 0 {
		h.Memory = 64 * spec.MiB
	}
	h.Stride = max(h.Stride, 1)
	s := &suite{Harness: h}
	s.Leftovers = func(t testing.TB) []string { // not those of a test that failed before
		return slices.DeleteFunc(h.Leftovers(t), func(name string) bool { return slices.Contains(s.before, name) })
	}
	s.drv = h.Open(t)
	s.caps = s.drv.Capabilities()
	t.Cleanup(func() {
		if err := s.drv.Close(); err != nil {
			t.Errorf("Close() = %v", err)
		}
	})
	for _, room := range []struct {
		name  string
		tests []test
	}{
		{"driver", driverTests()}, {"vm", vmTests()}, {"update", updateTests()},
		{"volume", volumeTests()}, {"network", networkTests()}, {"crash", crashTests()},
	} {
		t.Run(room.name, func(t *testing.T) {
			for _, c := range room.tests {
				t.Run(c.name, func(t *testing.T) {
					s.before = h.Leftovers(t)
					t.Cleanup(func() { s.nothingLeft(t) })
					c.f(s, t)
				})
			}
		})
	}
}

// test is one rule of the contract.
type test struct {
	name string
	f    func(s *suite, t *testing.T)
}

type suite struct {
	Harness
	drv    driver.Driver
	caps   spec.Capabilities
	before []string // what was there when the test began
}

func driverTests() []test {
	return []test{
		{"capabilities need no connection and always answer the same", func(s *suite, t *testing.T) {
			d := s.CrashAfter(t, 0)
			defer d.Close()
			if diff := cmp.Diff(s.caps, d.Capabilities()); diff != "" {
				t.Errorf("Capabilities() without a connection differ (-connected +not):\n%s", diff)
			}
		}},
		{"a check of a target that works is silent about errors", func(s *suite, t *testing.T) {
			if _, err := s.drv.Check(t.Context()); err != nil {
				t.Errorf("Check() = %v, want nil", err)
			}
		}},
		{"a connection that cannot be made is unavailable and never not found", func(s *suite, t *testing.T) {
			d := s.CrashAfter(t, 0)
			defer d.Close()
			s.allFail(t, t.Context(), d, fault.Unavailable)
		}},
		{"a closed driver is unavailable", func(s *suite, t *testing.T) {
			d := s.Open(t)
			if err := d.Close(); err != nil {
				t.Errorf("Close() = %v", err)
			}
			s.allFail(t, t.Context(), d, fault.Unavailable)
		}},
		{"a context that has ended cancels every call", func(s *suite, t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			s.allFail(t, ctx, s.drv, fault.Canceled)
		}},
		{"a deadline that has passed makes every call unavailable", func(s *suite, t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 0)
			defer cancel()
			s.allFail(t, ctx, s.drv, fault.Unavailable)
		}},
		{"leftovers are seen", func(s *suite, t *testing.T) { // the control of every nothingLeft
			s.volume(t, "seen", func(*spec.Volume) {})
			s.vm(t, "seen", func(*spec.VM) {})
			if got := s.Leftovers(t); len(got) != 2 {
				t.Errorf("Leftovers() = %q with one VM and one volume, want both", got)
			}
		}},
	}
}

// allFail makes every call and wants the kind from each.
func (s *suite) allFail(t *testing.T, ctx context.Context, d driver.Driver, want fault.Kind) {
	t.Helper()
	vm, vol := s.vmSpec("fail"), s.volSpec("fail")
	calls := map[string]func() error{
		"Check":        func() error { _, err := d.Check(ctx); return err },
		"CreateVM":     func() error { _, err := d.CreateVM(ctx, vm); return err },
		"VM":           func() error { _, err := d.VM(ctx, vm.UUID); return err },
		"FindVM":       func() error { _, err := d.FindVM(ctx, vm.Name); return err },
		"ListVMs":      func() error { _, err := d.ListVMs(ctx); return err },
		"UpdateVM":     func() error { _, err := d.UpdateVM(ctx, vm, change.Plan{}, spec.Shutdown{}); return err },
		"StartVM":      func() error { return d.StartVM(ctx, vm.UUID) },
		"StopVM":       func() error { return d.StopVM(ctx, vm.UUID, spec.Shutdown{}) },
		"DeleteVM":     func() error { return d.DeleteVM(ctx, vm.UUID) },
		"CreateVolume": func() error { _, err := d.CreateVolume(ctx, vol); return err },
		"Volume":       func() error { _, err := d.Volume(ctx, s.pool()+"/nothing"); return err },
		"VolumeUsers":  func() error { _, err := d.VolumeUsers(ctx, s.pool()+"/nothing"); return err },
		"DeleteVolume": func() error { return d.DeleteVolume(ctx, s.pool()+"/nothing") },
		"FindNetwork":  func() error { _, err := d.FindNetwork(ctx, s.Prefix+"fail"); return err },
	}
	if s.caps.VolumeGrow {
		calls["GrowVolume"] = func() error { return d.GrowVolume(ctx, s.pool()+"/nothing", spec.GiB) }
	}
	if len(s.caps.NetworkModes) > 0 {
		net := s.netSpec("fail")
		calls["CreateNetwork"] = func() error { _, err := d.CreateNetwork(ctx, net); return err }
		calls["Network"] = func() error { _, err := d.Network(ctx, net.UUID); return err }
		calls["DeleteNetwork"] = func() error { return d.DeleteNetwork(ctx, net.UUID) }
	}
	for name, call := range calls {
		if err := call(); fault.KindOf(err) != want {
			t.Errorf("%s = %v (%s), want %s", name, err, fault.KindOf(err), want)
		}
	}
}

// nothingLeft demands that the platform has nothing of the suite's.
func (s *suite) nothingLeft(t *testing.T) {
	t.Helper()
	if left := s.Leftovers(t); len(left) > 0 {
		t.Errorf("left behind: %q, want nothing", left)
	}
}

// without demands that the call is refused because the target lacks a power, and
// returns whether it does lack it: then there is nothing more to prove.
func (s *suite) without(t *testing.T, has bool, field string, call func() error) bool {
	t.Helper()
	if has {
		return false
	}
	err := call()
	if fault.KindOf(err) != fault.Unsupported || fault.FieldOf(err) != field {
		t.Errorf("a power that is not declared: %v (%s at %q), want %s at %q", err, fault.KindOf(err), fault.FieldOf(err), fault.Unsupported, field)
	}
	return true
}

// together makes the calls at once and returns their errors.
func together(n int, call func(i int) error) error {
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { errs[i] = call(i) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// count returns how many VMs of the target have the name.
func (s *suite) count(t *testing.T, name string) int {
	t.Helper()
	list, err := s.drv.ListVMs(t.Context())
	if err != nil {
		t.Errorf("ListVMs() = %v", err)
	}
	return len(slices.DeleteFunc(list, func(v spec.VMInfo) bool { return v.Name != name }))
}
