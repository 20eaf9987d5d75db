package backend

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/novacron/terraform-provider-novacron/internal/backend/driver"
	"github.com/novacron/terraform-provider-novacron/internal/backend/simvm"
	"github.com/novacron/terraform-provider-novacron/internal/fault"
	"github.com/novacron/terraform-provider-novacron/internal/spec"
)

func vmSpec(name string) spec.VM {
	return spec.VM{UUID: spec.Identity("o", "vm", name), Owner: "o", Name: name, CPUs: 1, Memory: 128 * spec.MiB, Power: spec.Stopped}
}

// failsFirst refuses the first n calls with the error.
func failsFirst(n int, err error) func(string, int) error {
	return func(_ string, i int) error {
		if i <= n {
			return err
		}
		return nil
	}
}

func TestWhatIsBusyIsTriedAgain(t *testing.T) {
	busy := fault.Errorf(fault.Busy, "locked by another operation")
	cases := []struct {
		name     string
		fault    func(string, int) error
		kind     fault.Kind // "" means success
		min, max time.Duration
	}{
		{"not busy", nil, "", 0, 0},
		{"busy five times", failsFirst(5, busy), "", 300 * time.Millisecond, 10 * time.Second},
		{"busy for ever", failsFirst(1e9, busy), fault.Busy, 20 * time.Second, 33 * time.Second},
		{"unavailable", failsFirst(1, fault.Unavailable), fault.Unavailable, 0, 0},
		{"refused", failsFirst(1, fault.Exhausted), fault.Exhausted, 0, 0},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := New("kvm1", simvm.New(simvm.Options{Fault: c.fault}))
				start := time.Now()
				_, err := b.CreateVM(t.Context(), vmSpec("web"))
				took := time.Since(start)
				if fault.KindOf(err) != c.kind || took < c.min || took > c.max {
					t.Errorf("CreateVM = %v (%s) after %s; want %q from %s to %s", err, fault.KindOf(err), took, c.kind, c.min, c.max)
				}
				if err != nil && !strings.HasPrefix(err.Error(), `create VM "web" on target "kvm1": `) {
					t.Errorf("CreateVM = %q: no verb, noun, name and target", err)
				}
			})
		})
	}
}

func TestPatienceEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New("kvm1", simvm.New(simvm.Options{Fault: failsFirst(1e9, fault.Busy)}))
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(3*time.Second, cancel)
		start := time.Now()
		_, err := b.CreateVolume(ctx, spec.Volume{UUID: "u-", Name: "v", Size: spec.GiB, Format: spec.FormatRaw})
		if took := time.Since(start); fault.KindOf(err) != fault.Canceled || took != 3*time.Second {
			t.Errorf("CreateVolume = %v (%s) after %s; want canceled after 3s", err, fault.KindOf(err), took)
		}
	})
}

func TestOneConfigurationMakesAnObjectOnce(t *testing.T) {
	ctx, d := t.Context(), simvm.New(simvm.Options{})
	b := New("kvm1", d)
	vm, vol := vmSpec("web"), spec.Volume{UUID: spec.Identity("o", "volume", "v"), Name: "v", Size: spec.GiB, Format: spec.FormatRaw}
	makeVM := func() error { _, err := b.CreateVM(ctx, vm); return err }
	makeVolume := func() error { _, err := b.CreateVolume(ctx, vol); return err }
	for noun, create := range map[string]func() error{"VM": makeVM, "volume": makeVolume} {
		if err := create(); err != nil {
			t.Fatalf("create %s = %v", noun, err)
		}
		if err := create(); fault.KindOf(err) != fault.Conflict || fault.FieldOf(err) != "name" || fault.HintOf(err) == "" {
			t.Errorf("create %s twice = %v (%s at %q); want a conflict at name with a hint", noun, err, fault.KindOf(err), fault.FieldOf(err))
		}
	}
	if err := b.DeleteVM(ctx, vm.UUID, spec.Shutdown{}); err != nil {
		t.Errorf("DeleteVM = %v", err)
	}
	if err := makeVM(); err != nil {
		t.Errorf("create VM after its delete = %v", err)
	}
	if err := b.DeleteVolume(ctx, spec.VolumeID("default", vol.OwnName()), vol.UUID); err != nil {
		t.Errorf("DeleteVolume = %v", err)
	}
	if err := makeVolume(); err != nil {
		t.Errorf("create volume after its delete = %v", err)
	}
	other := New("kvm1", d.Again(nil)) // another run of the same configuration
	if info, err := other.CreateVM(ctx, vm); err != nil || info.UUID != vm.UUID {
		t.Errorf("CreateVM by another run = %v; want what is there adopted", err)
	}
}

func TestFailedCreateMayBeTriedAgain(t *testing.T) {
	b := New("kvm1", simvm.New(simvm.Options{Fault: failsFirst(1, fault.Exhausted)}))
	if _, err := b.CreateVM(t.Context(), vmSpec("web")); fault.KindOf(err) != fault.Exhausted {
		t.Fatalf("CreateVM = %v, want no room", err)
	}
	if _, err := b.CreateVM(t.Context(), vmSpec("web")); err != nil {
		t.Errorf("CreateVM again = %v", err)
	}
}

// checked is a driver whose check takes a second and fails the first times.
type checked struct {
	driver.Driver
	fails  int32
	checks atomic.Int32
}

func (c *checked) Check(ctx context.Context) ([]string, error) {
	time.Sleep(time.Second)
	if c.checks.Add(1) <= c.fails {
		return nil, fault.Errorf(fault.Unavailable, "no route to host")
	}
	return []string{"no KVM: guests are slow"}, nil
}

func TestCheckIsSharedRepeatedAfterFailureAndWarnsOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &checked{Driver: simvm.New(simvm.Options{}), fails: 1}
		b := New("kvm1", d)
		ask := func() (warnings int, err error) {
			var wg sync.WaitGroup
			var n atomic.Int32
			errs := make([]error, 10)
			for i := range errs {
				wg.Go(func() {
					w, err := b.Check(t.Context())
					n.Add(int32(len(w)))
					errs[i] = err
				})
			}
			wg.Wait()
			return int(n.Load()), errors.Join(errs...)
		}
		start := time.Now()
		if _, err := ask(); !errors.Is(err, fault.Unavailable) || !strings.Contains(err.Error(), `use target "kvm1": no route to host`) {
			t.Errorf("Check of a target that is away = %v", err)
		}
		if w, err := ask(); w != 1 || err != nil {
			t.Errorf("Check of a target that is back = %d warnings, %v; want one", w, err)
		}
		if w, err := ask(); w != 0 || err != nil {
			t.Errorf("Check once more = %d warnings, %v; want none", w, err)
		}
		if n, took := d.checks.Load(), time.Since(start); n != 2 || took != 2*time.Second {
			t.Errorf("thirty checks asked the driver %d times in %s; want 2 in 2s", n, took)
		}
	})
}

func TestErrorsAreWordedOnce(t *testing.T) {
	ctx, b := t.Context(), New("kvm1", simvm.New(simvm.Options{}))
	for want, f := range map[string]func() error{
		`read VM "x" on target "kvm1": there is no VM with the UUID x`:        func() error { _, err := b.VM(ctx, "x"); return err },
		`find VM "x" on target "kvm1": there is no VM "x"`:                    func() error { _, err := b.FindVM(ctx, "x"); return err },
		`read volume "a/x" on target "kvm1": there is no volume a/x`:          func() error { _, err := b.Volume(ctx, "a/x"); return err },
		`read users of volume "a/x" on target "kvm1": there is no volume a/x`: func() error { _, err := b.VolumeUsers(ctx, "a/x"); return err },
		`grow volume "a/x" on target "kvm1": there is no volume a/x`:          func() error { return b.GrowVolume(ctx, "a/x", spec.GiB) },
		`read network "x" on target "kvm1": there is no network "x"`:          func() error { _, err := b.Network(ctx, "x"); return err },
		`find network "x" on target "kvm1": there is no network "x"`:          func() error { _, err := b.FindNetwork(ctx, "x"); return err },
		`wait for VM "x" on target "kvm1": there is no VM with the UUID x`:    func() error { _, _, _, err := b.WaitVM(ctx, "x", Wait{}); return err },
		`update VM "web" on target "kvm1": there is no VM with the UUID ` + vmSpec("web").UUID: func() error {
			_, _, err := b.UpdateVM(ctx, vmSpec("web"), 3, spec.Shutdown{})
			return err
		},
	} {
		if err := f(); fault.KindOf(err) != fault.NotFound || err.Error() != want {
			t.Errorf("got  %v (%s)\nwant %s (not found)", err, fault.KindOf(err), want)
		}
	}
}
