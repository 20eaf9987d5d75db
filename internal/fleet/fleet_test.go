package fleet

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/novacron/terraform-provider-novacron/internal/backend"
	"github.com/novacron/terraform-provider-novacron/internal/backend/driver"
	"github.com/novacron/terraform-provider-novacron/internal/backend/simvm"
	"github.com/novacron/terraform-provider-novacron/internal/fault"
	"github.com/novacron/terraform-provider-novacron/internal/spec"
)

// yard opens simulated targets and notes what becomes of them.
type yard struct {
	mu      sync.Mutex
	opened  []string
	closed  int
	calls   atomic.Int32 // of any platform
	refuses error
}

// site is an opened target.
type site struct {
	driver.Driver
	y *yard
}

func (s site) Close() error {
	s.y.mu.Lock()
	defer s.y.mu.Unlock()
	s.y.closed++
	return errors.Join(s.Driver.Close(), s.y.refuses)
}

func (y *yard) open(t spec.Target) (driver.Driver, error) {
	y.mu.Lock()
	defer y.mu.Unlock()
	if t.Sim.Path == "bad" {
		return nil, fault.At("path", fault.Errorf(fault.Invalid, "that is no path"))
	}
	y.opened = append(y.opened, t.Name)
	return site{simvm.New(simvm.Options{Fault: func(string, int) error { y.calls.Add(1); return nil }}), y}, nil
}

func sim(name, path string) spec.Target {
	return spec.Target{Name: name, Sim: &spec.SimTarget{Path: path}}
}

func newFleet(t *testing.T, y *yard, standard string) *Fleet {
	t.Helper()
	f, err := New(Openers{"sim": y.open}, map[string]spec.Target{
		"kvm2": sim("kvm2", ""), "kvm1": sim("kvm1", ""), "broken": sim("broken", "bad"),
		"cloud": {Name: "cloud", Libvirt: &spec.LibvirtTarget{}}, "empty": {Name: "empty"},
	}, standard)
	if err != nil {
		t.Fatalf("New = %v", err)
	}
	return f
}

func TestTargetIsOpenedAtItsFirstUseOnceAndNeverDialed(t *testing.T) {
	y := &yard{}
	f := newFleet(t, y, "kvm1")
	if len(y.opened) != 0 {
		t.Errorf("New opened %q, want nothing", y.opened)
	}
	var wg sync.WaitGroup
	got := make([]*backend.Backend, 20)
	for i := range got {
		wg.Go(func() {
			b, err := f.Backend(t.Context(), []string{"", "kvm1"}[i%2])
			if err != nil {
				t.Errorf("Backend = %v", err)
			}
			got[i] = b
		})
	}
	wg.Wait()
	for _, b := range got {
		if b != got[0] || b.Name() != "kvm1" {
			t.Errorf("Backend = %p %q, want the same one for all", b, b.Name())
		}
	}
	if strings.Join(y.opened, " ") != "kvm1" || y.calls.Load() != 0 {
		t.Errorf("opened %q with %d calls of a platform; want kvm1 and none", y.opened, y.calls.Load())
	}
	if _, err := got[0].ListVMs(t.Context()); err != nil || y.calls.Load() == 0 {
		t.Errorf("ListVMs = %v with %d calls; want the first call to reach the platform", err, y.calls.Load())
	}
}

func TestTargetThatCannotBeUsed(t *testing.T) {
	cases := []struct {
		name, standard, target string
		kind                   fault.Kind
		field                  string
		words                  []string
	}{
		{"an unknown one", "kvm1", "kvm3", fault.Invalid, "target", []string{`"kvm3"`, "broken, cloud, empty, kvm1, kvm2"}},
		{"none, and there is no default", "", "", fault.Invalid, "target", []string{"default_target", "broken, cloud, empty, kvm1, kvm2"}},
		{"a platform that this build lacks", "kvm1", "cloud", fault.Unsupported, "", []string{`"cloud"`, `"libvirt"`}},
		{"one without a platform", "kvm1", "empty", fault.Invalid, "", []string{`"empty"`, "libvirt", "sim"}},
		{"one that its driver refuses", "kvm1", "broken", fault.Invalid, "path", []string{`target "broken": that is no path`}},
	}
	for _, c := range cases {
		_, err := newFleet(t, &yard{}, c.standard).Backend(t.Context(), c.target)
		if fault.KindOf(err) != c.kind || fault.FieldOf(err) != c.field {
			t.Errorf("%s: Backend(%q) = %v (%s at %q); want %s at %q", c.name, c.target, err, fault.KindOf(err), fault.FieldOf(err), c.kind, c.field)
		}
		for _, word := range c.words {
			if err == nil || !strings.Contains(err.Error(), word) {
				t.Errorf("%s: Backend(%q) = %v; want %s in it", c.name, c.target, err, word)
			}
		}
	}
}

func TestUnknownDefaultTarget(t *testing.T) {
	_, err := New(Openers{}, map[string]spec.Target{"b": sim("b", ""), "a": sim("a", "")}, "c")
	if fault.KindOf(err) != fault.Invalid || fault.FieldOf(err) != "default_target" || !strings.Contains(err.Error(), "targets: a, b") {
		t.Errorf("New with an unknown default = %v at %q; want invalid at default_target with the targets", err, fault.FieldOf(err))
	}
}

func TestRefusedTargetIsOpenedAgain(t *testing.T) {
	fails := true
	f, err := New(Openers{"sim": func(spec.Target) (driver.Driver, error) {
		if fails {
			return nil, fault.Unavailable
		}
		return simvm.New(simvm.Options{}), nil
	}}, map[string]spec.Target{"a": sim("a", "")}, "a")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Backend(context.Background(), ""); err == nil {
		t.Error("Backend of a target that cannot be opened = nil")
	}
	fails = false
	if _, err := f.Backend(context.Background(), ""); err != nil {
		t.Errorf("Backend once it can be opened = %v", err)
	}
}

func TestCloseClosesWhatWasOpened(t *testing.T) {
	y := &yard{refuses: errors.New("stuck")}
	f := newFleet(t, y, "kvm1")
	for _, name := range []string{"kvm1", "kvm2"} {
		if _, err := f.Backend(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
	err := f.Close()
	if y.closed != 2 || err == nil || strings.Count(err.Error(), "stuck") != 2 {
		t.Errorf("Close = %v after closing %d; want two closed and both errors", err, y.closed)
	}
	if err := f.Close(); err != nil || y.closed != 2 {
		t.Errorf("Close again = %v, %d closed; want nothing more", err, y.closed)
	}
}
