// Package simvm simulates a platform that runs VMs: the reading of the driver
// contract, and the place where faults are injected and time is virtual.
//
// It has the rules of a KVM host (pools of limited size, volumes and networks in
// use, leases, guests that take a moment to boot and obey a shutdown only when
// there is something to obey) and none of its costs. Every change of the
// platform is one atomic call; between two calls anything may happen, as on a
// real host.
package simvm

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/novacron/terraform-provider-novacron/internal/backend/driver"
	"github.com/novacron/terraform-provider-novacron/internal/fault"
	"github.com/novacron/terraform-provider-novacron/internal/spec"
)

// ErrCrash is what Options.Fault returns to simulate the death of the process or
// of its connection: that call and every later one of the driver fails, so
// nothing is cleaned up. Any other error is the platform's: that call fails, and
// the driver goes on.
var ErrCrash = errors.New("simulated crash")

// Options describe a simulated platform and the connection to it. The zero
// Options are a platform in memory with every power, a pool "default" and a pool
// "fast".
type Options struct {
	Path         string                         // file that keeps the platform; "" keeps it in memory
	Capabilities *spec.Capabilities             // nil: all powers
	Pools        map[string]spec.Size           // capacity by name; nil: "default" and "fast" of 16TiB each
	Memory       spec.Size                      // what all running guests may take; 0: 16TiB
	BootTime     time.Duration                  // from power on to a guest that answers; 0: 200ms
	ShutdownTime time.Duration                  // from the request to power off; 0: 100ms
	Latency      time.Duration                  // of each platform call
	Fault        func(step string, n int) error // see Again; nil: no faults
}

// The defaults of Options.
const (
	standardCapacity = 16 * spec.TiB
	standardBoot     = 200 * time.Millisecond
	standardShutdown = 100 * time.Millisecond
	defaultPool      = "default"
)

// Driver is one connection to a simulated platform. Time is time.Now, so that a
// testing/synctest bubble makes it virtual. Safe for concurrent use.
type Driver struct {
	opt   Options
	store store

	mu    sync.Mutex
	calls int
	gone  error // set once the connection is dead
}

var (
	_ driver.Driver  = (*Driver)(nil)
	_ driver.Reacher = (*Driver)(nil)
)

// Open makes the driver of a target of kind sim. Nothing is read or written
// before its first call. A target without a path is a new, empty platform.
func Open(t spec.Target) (driver.Driver, error) {
	if t.Sim == nil {
		return nil, fault.Errorf(fault.Invalid, "target %q is not of kind sim", t.Name)
	}
	return New(Options{Path: t.Sim.Path}), nil
}

// New returns a connection to the platform that o describes. Platforms in memory
// are new and empty.
func New(o Options) *Driver {
	if o.Pools == nil {
		o.Pools = map[string]spec.Size{defaultPool: standardCapacity, "fast": standardCapacity}
	}
	if o.Memory == 0 {
		o.Memory = standardCapacity
	}
	if o.BootTime == 0 {
		o.BootTime = standardBoot
	}
	if o.ShutdownTime == 0 {
		o.ShutdownTime = standardShutdown
	}
	d := &Driver{opt: o}
	if o.Path == "" {
		d.store = &memory{platform: newPlatform()}
	} else {
		d.store = &file{path: o.Path}
	}
	return d
}

// Again returns another connection to the same platform, as a second process
// would have: alive whatever happened to this one, with its own faults and count
// of calls. fault, if not nil, is asked before every call of the platform with
// what the call is about ("CreateVM: make disk root") and its number from 1.
func (d *Driver) Again(fault func(step string, n int) error) *Driver {
	o := d.opt
	o.Fault = fault
	return &Driver{opt: o, store: d.store}
}

// Calls returns how many calls of the platform this connection has made.
func (d *Driver) Calls() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.calls
}

// Capabilities tells what the platform can do.
func (d *Driver) Capabilities() spec.Capabilities {
	if c := d.opt.Capabilities; c != nil {
		return *c
	}
	return AllCapabilities()
}

// AllCapabilities returns every power that the simulator has: what a test takes
// some away from.
func AllCapabilities() spec.Capabilities {
	return spec.Capabilities{
		Platform:       "sim",
		DefaultPool:    defaultPool,
		DirectBoot:     true,
		CloudInit:      true,
		UserNetworking: true,
		NetworkModes:   []string{spec.ModeNAT, spec.ModeIsolated},
		VolumeFormats:  []string{spec.FormatQCOW2, spec.FormatRaw},
		VolumeUpload:   true,
		VolumeBacking:  true,
		VolumeGrow:     true,
	}
}

// Check reports whether the platform can be used.
func (d *Driver) Check(ctx context.Context) ([]string, error) {
	return nil, d.read(ctx, "Check", func(*platform) error { return nil })
}

// Close ends the connection. The platform stays.
func (d *Driver) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.gone == nil {
		d.gone = fault.Errorf(fault.Unavailable, "the connection to the simulator is closed")
	}
	return nil
}

// read makes one call that looks at the platform.
func (d *Driver) read(ctx context.Context, step string, f func(*platform) error) error {
	return d.call(ctx, step, false, f)
}

// write makes one call that changes the platform: wholly, or not at all when f
// fails.
func (d *Driver) write(ctx context.Context, step string, f func(*platform) error) error {
	return d.call(ctx, step, true, f)
}

func (d *Driver) call(ctx context.Context, step string, change bool, f func(*platform) error) error {
	if err := sleep(ctx, d.opt.Latency); err != nil {
		return fmt.Errorf("%s: %w", step, err)
	}
	if err := d.disturb(step); err != nil {
		return err
	}
	return d.store.do(ctx, change, func(p *platform) error {
		p.open(&d.opt, time.Now())
		return f(p)
	})
}

// disturb counts the call and injects the fault that is due.
func (d *Driver) disturb(step string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.gone != nil {
		return d.gone
	}
	d.calls++
	if d.opt.Fault == nil {
		return nil
	}
	err := d.opt.Fault(step, d.calls)
	if errors.Is(err, ErrCrash) {
		d.gone = fault.Errorf(fault.Unavailable, "%s: the connection to the simulator is gone: %w", step, err)
		return d.gone
	}
	if err != nil {
		return fmt.Errorf("%s: %w", step, err)
	}
	return nil
}

// sleep waits for the time or the end of the context.
func sleep(ctx context.Context, t time.Duration) error {
	if t > 0 {
		timer := time.NewTimer(t)
		defer timer.Stop()
		select {
		case <-ctx.Done():
		case <-timer.C:
		}
	}
	err := ctx.Err()
	if err == nil {
		return nil
	}
	return fault.As(fault.KindOf(err), err)
}

// undo is what takes back the side effects of a call, in the order in which they
// were made.
type undo []struct {
	step string
	f    func(*platform) error
}

func (u *undo) add(step string, f func(*platform) error) {
	*u = append(*u, struct {
		step string
		f    func(*platform) error
	}{step, f})
}

// run takes the side effects back, newest first, even when ctx has ended. What
// cannot be taken back is added to err.
func (u undo) run(ctx context.Context, d *Driver, err error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	defer cancel()
	for i := len(u) - 1; i >= 0; i-- {
		if e := d.write(ctx, u[i].step, u[i].f); e != nil && fault.KindOf(e) != fault.NotFound {
			return fmt.Errorf("%w (and cleaning up failed: %v)", err, e)
		}
	}
	return err
}
