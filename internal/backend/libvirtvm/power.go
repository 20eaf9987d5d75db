package libvirtvm

import (
	"context"
	"fmt"
	"time"

	libvirt "github.com/digitalocean/go-libvirt"

	"github.com/novacron/terraform-provider-novacron/internal/fault"
	"github.com/novacron/terraform-provider-novacron/internal/spec"
)

// How a guest is asked to power off: looked at often, asked again now and then,
// since a guest that is still booting does not hear the first request.
const (
	offPoll  = 100 * time.Millisecond
	offAgain = 5 * time.Second
)

// StartVM starts the VM, or resumes it when it is paused, and forwards its
// ports. Of one that crashed, what its host kept of it is given up first.
func (d *Driver) StartVM(ctx context.Context, id string) error {
	err := d.withDomain(ctx, id, func(l *libvirt.Libvirt, dom libvirt.Domain) error {
		power, err := powerOf(l, dom)
		if err != nil {
			return err
		}
		switch power {
		case spec.Running:
			return nil
		case spec.Paused:
			return l.DomainResume(dom)
		case spec.Crashed:
			if err := destroy(l, dom); err != nil {
				return err
			}
		}
		_, err = l.DomainCreateWithFlags(dom, 0)
		if is(err, libvirt.ErrOperationInvalid) {
			if now, perr := powerOf(l, dom); perr == nil && now == spec.Running {
				return nil // somebody else was faster
			}
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("start: %w", err)
	}
	return d.withDomain(ctx, id, forward)
}

// StopVM powers the VM off. One that somebody undefined while it ran is defined
// again first: else the record of what it owns would go with it.
func (d *Driver) StopVM(ctx context.Context, id string, off spec.Shutdown) error {
	if err := d.withDomain(ctx, id, persist); err != nil {
		return err
	}
	if off.Timeout > 0 {
		done, err := d.shutdown(ctx, id, off.Timeout)
		if err != nil || done {
			return err
		}
		if !off.Force {
			err := fault.Errorf(fault.Busy, "the guest is paused, or did not power off within %s", off.Timeout)
			return fault.WithHint(err, "raise shutdown.timeout, or set shutdown.force = true")
		}
	}
	return d.withDomain(ctx, id, func(l *libvirt.Libvirt, dom libvirt.Domain) error {
		power, err := powerOf(l, dom)
		if err != nil || power == spec.Stopped {
			return err
		}
		return destroy(l, dom)
	})
}

// destroy powers the domain off at once.
func destroy(l *libvirt.Libvirt, dom libvirt.Domain) error {
	err := l.DomainDestroyFlags(dom, libvirt.DomainDestroyDefault)
	if is(err, libvirt.ErrOperationInvalid) || is(err, libvirt.ErrNoDomain) {
		return nil // it went off by itself; a transient one is gone then
	}
	return err
}

// persist defines a domain that is transient.
func persist(l *libvirt.Libvirt, dom libvirt.Domain) error {
	persistent, err := l.DomainIsPersistent(dom)
	if err != nil || persistent == 1 {
		return err
	}
	doc, err := l.DomainGetXMLDesc(dom, libvirt.DomainXMLInactive|libvirt.DomainXMLSecure)
	if err != nil {
		return err
	}
	if _, err := l.DomainDefineXMLFlags(doc, 0); err != nil {
		return fmt.Errorf("define the VM, which is transient: %w", err)
	}
	return nil
}

// shutdown asks the guest to power off and waits up to timeout; done is whether
// it did. One that is paused hears nothing and is not waited for.
func (d *Driver) shutdown(ctx context.Context, id string, timeout time.Duration) (done bool, err error) {
	deadline := time.Now().Add(timeout)
	var asked time.Time
	var paused bool
	for {
		err := d.withDomain(ctx, id, func(l *libvirt.Libvirt, dom libvirt.Domain) error {
			power, err := powerOf(l, dom)
			if err != nil {
				return err
			}
			if power == spec.Crashed {
				return destroy(l, dom) // there is nobody to ask: seen at the next look
			}
			done = power == spec.Stopped
			if paused = power == spec.Paused; done || paused || time.Since(asked) < offAgain {
				return nil
			}
			asked = time.Now()
			err = l.DomainShutdownFlags(dom, libvirt.DomainShutdownDefault)
			if is(err, libvirt.ErrOperationInvalid) {
				return nil // off by now, or paused: seen at the next look
			}
			return err
		})
		if err != nil || done || paused || time.Now().After(deadline) {
			return done, err
		}
		select {
		case <-ctx.Done():
			return false, ctx.Err()
		case <-time.After(offPoll):
		}
	}
}
