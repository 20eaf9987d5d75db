package libvirtvm

import (
	"context"
	"fmt"
	"maps"
	"regexp"
	"slices"

	libvirt "github.com/digitalocean/go-libvirt"

	"github.com/novacron/terraform-provider-novacron/internal/backend/libvirtvm/domxml"
	"github.com/novacron/terraform-provider-novacron/internal/change"
	"github.com/novacron/terraform-provider-novacron/internal/fault"
	"github.com/novacron/terraform-provider-novacron/internal/spec"
)

// UpdateVM changes the VM in place: what can be done live first; then the guest
// is stopped if the change needs it; then the definition, what is new, and the
// start; and at last what is not needed any more goes.
func (d *Driver) UpdateVM(ctx context.Context, want spec.VM, plan change.Plan, off spec.Shutdown) (spec.VMInfo, error) {
	if plan.Class() == change.Replace {
		field := plan.Of(change.Replace)[0].Field
		return spec.VMInfo{}, fault.At(field, fault.Errorf(fault.Invalid, "the change of %s needs a replacement", field))
	}
	if err := d.refuse(want); err != nil {
		return spec.VMInfo{}, err
	}
	unlock, err := d.busy.lock(ctx, want.UUID)
	if err != nil {
		return spec.VMInfo{}, err
	}
	defer unlock()
	return d.update(ctx, want, plan, off)
}

// update is UpdateVM for a caller that holds the VM's lock.
func (d *Driver) update(ctx context.Context, want spec.VM, plan change.Plan, off spec.Shutdown) (spec.VMInfo, error) {
	have, err := d.VM(ctx, want.UUID)
	if err != nil {
		return spec.VMInfo{}, err
	}
	if err := d.unsaved(ctx, have, plan); err != nil {
		return spec.VMInfo{}, err
	}
	if err := d.grow(ctx, have, want, plan); err != nil {
		return spec.VMInfo{}, err
	}
	resolved, err := d.preflight(ctx, want)
	if err != nil {
		return spec.VMInfo{}, err
	}
	stop := have.Power != spec.Stopped && (plan.Class() == change.Reboot || want.Power == spec.Stopped)
	if stop {
		if err := d.StopVM(ctx, want.UUID, off); err != nil {
			return spec.VMInfo{}, err
		}
	}
	old, err := d.redefine(ctx, want, resolved)
	if err == nil {
		err = d.settle(ctx, want, stop || have.Power != spec.Running) // paused and crashed guests are brought back too
	}
	if err != nil {
		return spec.VMInfo{}, d.rollBack(ctx, have, old, err)
	}
	if err := d.drop(ctx, want.UUID); err != nil {
		return spec.VMInfo{}, err
	}
	return d.VM(ctx, want.UUID)
}

// hardware is what a saved state holds a copy of.
var hardware = regexp.MustCompile(`^(cpus|memory|kernel|initrd|cmdline|cloud_init|disks\.[^.]+(\.bus|\.read_only)?|nics\.[^.]+(\.network|\.mac|\.model)?)$`)

// unsaved refuses to change the hardware of a VM that is off with its memory
// saved: it would go on where it was, on what it had.
func (d *Driver) unsaved(ctx context.Context, have spec.VMInfo, plan change.Plan) error {
	i := slices.IndexFunc(plan.Ops, func(op change.Op) bool { return hardware.MatchString(op.Field) })
	if i < 0 || have.Power != spec.Stopped {
		return nil
	}
	return d.withDomain(ctx, have.UUID, func(l *libvirt.Libvirt, dom libvirt.Domain) error {
		saved, err := l.DomainHasManagedSaveImage(dom, 0)
		if err != nil || saved == 0 {
			return err
		}
		err = fault.Errorf(fault.Conflict, "the VM is off with its memory saved, and would go on with what it had")
		return fault.At(plan.Ops[i].Field, fault.WithHint(err, "start it first, or give up the saved memory: virsh managedsave-remove %s", dom.Name))
	})
}

// preflight resolves everything that the wanted VM refers to before anything is
// touched.
func (d *Driver) preflight(ctx context.Context, want spec.VM) (*domxml.VM, error) {
	var out domxml.VM
	err := d.conn.Do(ctx, func(l *libvirt.Libvirt) (err error) {
		out, err = d.resolve(l, want)
		return err
	})
	return &out, err
}

// grow enlarges owned disks, live when the VM runs.
func (d *Driver) grow(ctx context.Context, have spec.VMInfo, want spec.VM, plan change.Plan) error {
	for _, key := range slices.Sorted(maps.Keys(have.OwnedDisks)) {
		field := "disks." + key + ".size"
		if !plan.Changes(field) {
			continue
		}
		if have.Disks[key].Size == 0 {
			continue // an interrupted call did not get to making it: done while the guest is off
		}
		if now := have.Disks[key].Size; want.Disks[key].Size < now {
			return fault.At(field, fault.Errorf(fault.Invalid, "the disk is %s large and cannot shrink to %s", now, want.Disks[key].Size))
		}
		if err := d.GrowVolume(ctx, have.OwnedDisks[key], want.Disks[key].Size); err != nil {
			return under("disks."+key, err)
		}
	}
	return nil
}

// redefine puts the wanted definition in force for the next start and returns
// the one that was. It comes after the guest is off where the change needs that:
// a crash in between is then seen as a VM that is off, and mended. resolved is
// nil when the caller did not resolve the VM yet.
func (d *Driver) redefine(ctx context.Context, want spec.VM, resolved *domxml.VM) (old *domxml.Parsed, err error) {
	if resolved == nil {
		if resolved, err = d.preflight(ctx, want); err != nil {
			return nil, err
		}
	}
	err = d.withDomain(ctx, want.UUID, func(l *libvirt.Libvirt, dom libvirt.Domain) error {
		doc, err := l.DomainGetXMLDesc(dom, libvirt.DomainXMLInactive|libvirt.DomainXMLSecure)
		if err != nil {
			return err
		}
		if old, err = domxml.Parse(doc); err != nil {
			return err
		}
		next, err := domxml.Parse(doc)
		if err != nil {
			return err
		}
		if err := domxml.Apply(next.Domain, *resolved); err != nil {
			return err
		}
		if err := defineDomain(l, next); err != nil {
			return err
		}
		return tellLive(l, dom, next)
	})
	return old, err
}

func defineDomain(l *libvirt.Libvirt, p *domxml.Parsed) error {
	doc, err := p.Domain.Marshal()
	if err != nil {
		return err
	}
	if _, err := l.DomainDefineXMLFlags(doc, libvirt.DomainDefineValidate); err != nil {
		return fmt.Errorf("change the definition: %w", err)
	}
	return nil
}

// tellLive gives description and metadata to the running VM too, for tools that
// look there.
func tellLive(l *libvirt.Libvirt, dom libvirt.Domain, p *domxml.Parsed) error {
	active, err := l.DomainIsActive(dom)
	if err != nil || active == 0 {
		return err
	}
	description := libvirt.OptString{p.Domain.Description}
	if p.Domain.Description == "" {
		description = nil
	}
	err = l.DomainSetMetadata(dom, int32(libvirt.DomainMetadataDescription), description, nil, nil, libvirt.DomainAffectLive)
	if err != nil {
		return err
	}
	meta, err := p.OwnMetadata()
	if err != nil {
		return err
	}
	return l.DomainSetMetadata(dom, int32(libvirt.DomainMetadataElement), libvirt.OptString{meta},
		libvirt.OptString{domxml.MetadataKey}, libvirt.OptString{domxml.MetadataURI}, libvirt.DomainAffectLive)
}

// settle brings a VM to its new definition: when it is off, what is new is made
// and it is started if it is wanted on.
func (d *Driver) settle(ctx context.Context, want spec.VM, off bool) error {
	if err := d.setAutostart(ctx, want); err != nil {
		return err
	}
	if !off {
		return d.withDomain(ctx, want.UUID, forward)
	}
	now, err := d.VM(ctx, want.UUID)
	if err != nil {
		return err
	}
	if err := d.makeOwned(ctx, want, now); err != nil || want.Power != spec.Running {
		return err
	}
	return d.StartVM(ctx, want.UUID)
}

// rollBack puts the last good definition in force again, starts the VM if it
// ran, and returns why the change failed. old is nil when the definition was
// not touched.
func (d *Driver) rollBack(ctx context.Context, have spec.VMInfo, old *domxml.Parsed, failed error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanup)
	defer cancel()
	var err error
	if old != nil {
		err = d.restore(ctx, have.UUID, old)
	}
	if err == nil && have.Power == spec.Running {
		err = d.StartVM(ctx, have.UUID)
	}
	if err != nil {
		return fmt.Errorf("%w (and going back to the last good definition failed: %v)", failed, err)
	}
	return fmt.Errorf("%w (the last good definition is in force again)", failed)
}

// restore puts the old definition in force again and deletes what only the new
// one owned.
func (d *Driver) restore(ctx context.Context, id string, old *domxml.Parsed) error {
	err := d.withDomain(ctx, id, func(l *libvirt.Libvirt, dom libvirt.Domain) error {
		doc, err := l.DomainGetXMLDesc(dom, libvirt.DomainXMLInactive)
		if err != nil {
			return err
		}
		failed, err := domxml.Parse(doc)
		if err != nil {
			return err
		}
		if err := old.Drop(failed.Meta.Owned()); err != nil {
			return err
		}
		return defineDomain(l, old)
	})
	if err != nil {
		return err
	}
	return d.drop(ctx, id)
}

// drop deletes the volumes that the definition says are still to be deleted. One
// that is still needed stays noted and is tried again with the next change.
func (d *Driver) drop(ctx context.Context, id string) error {
	return d.withDomain(ctx, id, func(l *libvirt.Libvirt, dom libvirt.Domain) error {
		doc, err := l.DomainGetXMLDesc(dom, libvirt.DomainXMLInactive)
		if err != nil {
			return err
		}
		p, err := domxml.Parse(doc)
		if err != nil || len(p.Meta.Drops) == 0 {
			return err
		}
		var keep []domxml.DropRecord
		for _, r := range p.Meta.Drops {
			open, err := inUse(l, dom, r.Volume)
			if err == nil && !open {
				err = deleteVolume(l, r.Volume, dom.Name)
			}
			if open || fault.KindOf(err) == fault.Busy {
				keep = append(keep, r)
			} else if err != nil {
				return err
			}
		}
		p.Meta.Drops = keep
		meta, err := p.Meta.Marshal()
		if err != nil {
			return err
		}
		return l.DomainSetMetadata(dom, int32(libvirt.DomainMetadataElement), libvirt.OptString{meta},
			libvirt.OptString{domxml.MetadataKey}, libvirt.OptString{domxml.MetadataURI}, libvirt.DomainAffectConfig)
	})
}
