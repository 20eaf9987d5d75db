// Package backend is the portable type over one driver: it refuses what the
// target cannot do, waits for guests, retries what is busy, and words every
// error once: verb, noun, name, target.
package backend

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/novacron/terraform-provider-novacron/internal/backend/driver"
	"github.com/novacron/terraform-provider-novacron/internal/fault"
	"github.com/novacron/terraform-provider-novacron/internal/spec"
)

// Backend is one target. Safe for concurrent use.
type Backend struct {
	name string
	drv  driver.Driver
	busy time.Duration // how long a busy object is tried again

	mu     sync.Mutex
	usable bool            // Check succeeded
	asking *inquiry        // the check in flight; nil: none
	made   map[string]bool // identities made or adopted by this process
}

// New returns the backend of the target called name over drv, which it owns from
// now on.
func New(name string, drv driver.Driver) *Backend {
	return &Backend{name: name, drv: drv, busy: 30 * time.Second, made: map[string]bool{}}
}

// Name returns the target's name.
func (b *Backend) Name() string { return b.name }

// Capabilities tells what the target can do, without connecting.
func (b *Backend) Capabilities() spec.Capabilities { return b.drv.Capabilities() }

// inquiry is one check of the target that many may be waiting for.
type inquiry struct {
	done chan struct{}
	err  error
}

// Check connects and reports whether the target can be used. Warnings are
// returned by the first call that succeeds only; after it, Check costs nothing.
// Callers at the same time share one attempt, so that a target that does not
// answer is waited for once and not once for each of them.
func (b *Backend) Check(ctx context.Context) (warnings []string, err error) {
	b.mu.Lock()
	if b.usable {
		b.mu.Unlock()
		return nil, nil
	}
	if q := b.asking; q != nil {
		b.mu.Unlock()
		select {
		case <-q.done:
			return nil, b.wrap(q.err, "use", "target", b.name)
		case <-ctx.Done():
			return nil, b.wrap(ctx.Err(), "use", "target", b.name)
		}
	}
	q := &inquiry{done: make(chan struct{})}
	b.asking = q
	b.mu.Unlock()

	warnings, q.err = b.drv.Check(ctx)

	b.mu.Lock()
	b.usable, b.asking = q.err == nil, nil
	b.mu.Unlock()
	close(q.done)
	return warnings, b.wrap(q.err, "use", "target", b.name)
}

// Close ends all connections of the target.
func (b *Backend) Close() error { return b.drv.Close() }

// wrap words an error; nil stays nil.
func (b *Backend) wrap(err error, verb, noun, name string) error {
	if err == nil {
		return nil
	}
	if noun == "target" {
		return fmt.Errorf("%s target %q: %w", verb, name, err)
	}
	return fmt.Errorf("%s %s %q on target %q: %w", verb, noun, name, b.name, err)
}

// patient calls f again while its object is busy, up to b.busy. When the time of
// ctx runs out meanwhile, the error says what the object was busy with.
func patient[T any](ctx context.Context, b *Backend, f func() (T, error)) (T, error) {
	wait := backoff.NewExponentialBackOff()
	wait.InitialInterval, wait.MaxInterval = 100*time.Millisecond, 2*time.Second
	var busy error
	v, err := backoff.Retry(ctx, func() (T, error) {
		v, err := f()
		if err != nil && fault.KindOf(err) != fault.Busy {
			return v, backoff.Permanent(err)
		}
		if err != nil {
			busy = err
		}
		return v, err
	}, backoff.WithBackOff(wait), backoff.WithMaxElapsedTime(b.busy))
	if busy != nil && err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		err = busy
	}
	return v, err
}

// claim notes that this process made or adopted the identity, and refuses to do
// it twice: then two resources of one configuration have the same name.
func (b *Backend) claim(id string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.made[id] {
		return fault.WithHint(fault.At("name", fault.Errorf(fault.Conflict, "another resource of this configuration has the same name on this target")),
			"give one of them another name")
	}
	b.made[id] = true
	return nil
}

// release forgets a claim: the object was not made, or is gone.
func (b *Backend) release(id string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.made, id)
}
