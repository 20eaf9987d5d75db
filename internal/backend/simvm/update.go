package simvm

import (
	"context"
	"maps"

	"github.com/novacron/terraform-provider-novacron/internal/change"
	"github.com/novacron/terraform-provider-novacron/internal/fault"
	"github.com/novacron/terraform-provider-novacron/internal/spec"
)

// UpdateVM makes the VM as wanted.
func (d *Driver) UpdateVM(ctx context.Context, want spec.VM, plan change.Plan, off spec.Shutdown) (spec.VMInfo, error) {
	if err := d.supports(want); err != nil {
		return spec.VMInfo{}, err
	}
	if plan.Class() == change.Replace {
		op := plan.Of(change.Replace)[0]
		return spec.VMInfo{}, fault.At(op.Field, fault.Errorf(fault.Invalid, "%s: an update does not replace a VM", op.Why))
	}
	b := &build{d: d, verb: "UpdateVM"}
	err := d.read(ctx, "UpdateVM: look at it", func(p *platform) error {
		if _, err := p.vm(want.UUID); err != nil {
			return err
		}
		return b.look(p, want)
	})
	if err != nil {
		return spec.VMInfo{}, err
	}
	if err := b.update(ctx, want, plan, off); err != nil {
		return spec.VMInfo{}, b.undo.run(ctx, d, err)
	}
	if err := b.dropOld(ctx); err != nil {
		return spec.VMInfo{}, err
	}
	return d.VM(ctx, want.UUID)
}

// update does the live operations, then stops the guest where the plan says so,
// puts the definition in force and starts the guest: never the definition before
// the stop, because after a crash between the two nobody could see that the
// guest still runs the old one.
func (b *build) update(ctx context.Context, want spec.VM, plan change.Plan, off spec.Shutdown) error {
	if err := b.growDisks(ctx); err != nil {
		return err
	}
	if err := b.forward(ctx, plan); err != nil {
		return err
	}
	on := b.have.Guest != nil
	if on && (plan.Class() == change.Reboot || want.Power == spec.Stopped) {
		if err := b.d.stop(ctx, b.verb, want.UUID, off); err != nil {
			return err
		}
		b.undo.add(b.verb+": start again", func(p *platform) error { return p.start(want.UUID) })
	}
	// The disks that make way are gone for good from here on; all that can
	// be known to fail was looked at before.
	for _, v := range b.missing {
		if err := b.write(ctx, v); err != nil {
			return err
		}
	}
	if err := b.define(ctx); err != nil {
		return err
	}
	if want.Power != spec.Running {
		return nil
	}
	return b.do(ctx, ": start", func(p *platform) error { return p.start(want.UUID) }, nil)
}

// forward changes the forwarded ports of the running guest.
func (b *build) forward(ctx context.Context, plan change.Plan) error {
	if b.have.Guest == nil || plan.Class() == change.Reboot {
		return nil // the next start brings them
	}
	for key, n := range b.def.NICs {
		if !plan.Changes("nics." + key + ".forward") {
			continue
		}
		set := func(ports map[uint16]uint16) func(*platform) error {
			return func(p *platform) error {
				v, err := p.vm(b.def.UUID)
				if err != nil || v.Guest == nil {
					return err
				}
				live := v.Guest.Hardware.NICs[key]
				live.Forward = maps.Clone(ports)
				v.Guest.Hardware.NICs[key] = live
				return nil
			}
		}
		if err := b.do(ctx, ": forward ports of nics."+key, set(n.Forward), set(b.have.Def.NICs[key].Forward)); err != nil {
			return err
		}
	}
	return nil
}
