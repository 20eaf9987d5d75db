package simvm

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/novacron/terraform-provider-novacron/internal/change"
	"github.com/novacron/terraform-provider-novacron/internal/fault"
	"github.com/novacron/terraform-provider-novacron/internal/spec"
)

// CreateVM makes the VM with its disks and seed and brings it to its power state.
func (d *Driver) CreateVM(ctx context.Context, want spec.VM) (spec.VMInfo, error) {
	if err := d.supports(want); err != nil {
		return spec.VMInfo{}, err
	}
	b := &build{d: d, verb: "CreateVM"}
	err := d.read(ctx, "CreateVM: look for it", func(p *platform) error { return b.look(p, want) })
	if err != nil {
		return spec.VMInfo{}, err
	}
	if b.have != nil && b.have.Guest != nil {
		return d.adopt(ctx, want)
	}
	if err := b.create(ctx); err != nil {
		return spec.VMInfo{}, b.undo.run(ctx, d, err)
	}
	if want.Power == spec.Running {
		err = d.write(ctx, "CreateVM: start", func(p *platform) error { return p.start(want.UUID) })
		if err != nil {
			return spec.VMInfo{}, b.undo.run(ctx, d, err)
		}
	}
	if err := b.dropOld(ctx); err != nil {
		return spec.VMInfo{}, err
	}
	return d.VM(ctx, want.UUID)
}

// adoptOff is how long a guest that runs with the settings of an earlier,
// interrupted create may take to power off.
const adoptOff = time.Minute

// adopt brings a VM that runs already to the request.
func (d *Driver) adopt(ctx context.Context, want spec.VM) (spec.VMInfo, error) {
	have, err := d.VM(ctx, want.UUID)
	if err != nil {
		return spec.VMInfo{}, err
	}
	plan := change.VM(have.VM, want)
	if plan.Empty() {
		return have, nil
	}
	return d.UpdateVM(ctx, want, plan, spec.Shutdown{Timeout: adoptOff, Force: true})
}

// VM returns the VM with the UUID.
func (d *Driver) VM(ctx context.Context, id string) (info spec.VMInfo, err error) {
	err = d.read(ctx, "VM: read", func(p *platform) error {
		v, err := p.vm(id)
		if err != nil {
			return err
		}
		info = p.info(v)
		return nil
	})
	return info, err
}

// FindVM returns the VM with the name.
func (d *Driver) FindVM(ctx context.Context, name string) (info spec.VMInfo, err error) {
	err = d.read(ctx, "FindVM: read", func(p *platform) error {
		v := p.vmNamed(name)
		if v == nil {
			return fault.Errorf(fault.NotFound, "there is no VM %q", name)
		}
		info = p.info(v)
		return nil
	})
	return info, err
}

// ListVMs returns all VMs.
func (d *Driver) ListVMs(ctx context.Context) (list []spec.VMInfo, err error) {
	err = d.read(ctx, "ListVMs: read", func(p *platform) error {
		for _, id := range slices.Sorted(maps.Keys(p.VMs)) {
			list = append(list, p.info(p.VMs[id]))
		}
		return nil
	})
	return list, err
}

// StartVM starts the VM.
func (d *Driver) StartVM(ctx context.Context, id string) error {
	return d.write(ctx, "StartVM: start", func(p *platform) error { return p.start(id) })
}

// StopVM powers the VM off and returns once it is off.
func (d *Driver) StopVM(ctx context.Context, id string, off spec.Shutdown) error {
	return d.stop(ctx, "StopVM", id, off)
}

// stop asks the guest and waits, then pulls the plug where off allows it.
func (d *Driver) stop(ctx context.Context, verb, id string, off spec.Shutdown) error {
	cut := func(p *platform) error {
		v, err := p.vm(id)
		if err == nil {
			v.Guest = nil
		}
		return err
	}
	if off.Timeout <= 0 {
		return d.write(ctx, verb+": power off", cut)
	}
	running := false
	err := d.write(ctx, verb+": ask the guest to shut down", func(p *platform) error {
		v, err := p.vm(id)
		if err != nil {
			return err
		}
		p.shutdown(v)
		running = v.Guest != nil
		return nil
	})
	for end := time.Now().Add(off.Timeout); err == nil && running && time.Now().Before(end); {
		if err := sleep(ctx, min(50*time.Millisecond, off.Timeout)); err != nil {
			return err
		}
		err = d.read(ctx, verb+": wait for the guest", func(p *platform) error {
			v, err := p.vm(id)
			running = err == nil && v.Guest != nil
			return err
		})
	}
	switch {
	case err != nil || !running:
		return err
	case !off.Force:
		return fault.WithHint(fault.Errorf(fault.Busy, "the guest did not shut down within %s", off.Timeout),
			"give it more time, or allow it to be powered off")
	}
	return d.write(ctx, verb+": power off", cut)
}

// DeleteVM removes the VM that is off with what it owns, and what an interrupted
// delete left of one.
func (d *Driver) DeleteVM(ctx context.Context, id string) error {
	var owned []string
	err := d.read(ctx, "DeleteVM: look for it", func(p *platform) error {
		if v := p.VMs[id]; v != nil && v.Guest != nil {
			return fault.Errorf(fault.Busy, "VM %q is running", v.Def.Name)
		}
		owned = p.owned(id)
		return nil
	})
	if err != nil {
		return err
	}
	for _, vol := range owned {
		err := d.write(ctx, "DeleteVM: delete volume "+vol, func(p *platform) error { return p.dropVolume(vol, id) })
		if err != nil && fault.KindOf(err) != fault.NotFound {
			return err
		}
	}
	err = d.write(ctx, "DeleteVM: undefine", func(p *platform) error { return p.undefine(id) })
	if fault.KindOf(err) == fault.NotFound {
		return nil
	}
	return err
}

// ReachVM tells whether the guest accepts connections on the port: as soon as it
// has booted, at a leased address or through a forwarded port.
func (d *Driver) ReachVM(ctx context.Context, id string, port uint16) error {
	return d.read(ctx, "ReachVM: connect", func(p *platform) error {
		v, err := p.vm(id)
		if err != nil {
			return err
		}
		if v.Guest == nil {
			return fault.Errorf(fault.Busy, "the VM is off")
		}
		way := false
		for _, n := range v.Guest.Hardware.NICs {
			way = way || n.Network != "" || slices.Contains(slices.Collect(maps.Values(n.Forward)), port)
		}
		switch {
		case !way:
			return fault.WithHint(fault.Errorf(fault.Invalid, "no interface leads to port %d of the guest", port),
				"forward a port of the host to it, or plug an interface into a network")
		case !p.ready(v):
			return fault.Errorf(fault.Busy, "the guest is still booting")
		}
		return nil
	})
}

// info describes the VM: its definition, and its status now.
func (p *platform) info(v *vm) spec.VMInfo {
	info := spec.VMInfo{
		VM:         cloneVM(v.Def),
		Addresses:  p.addresses(v),
		OwnedDisks: map[string]string{},
		Unmanaged:  slices.Clone(v.Devices),
	}
	info.Power = v.power()
	for key, disk := range info.Disks {
		vol := p.Volumes[v.Disks[key]]
		if !disk.Owned() || vol == nil {
			continue
		}
		disk.Size, disk.Backing, disk.Pool = vol.Size, vol.Backing, vol.Pool
		info.Disks[key] = disk
		info.OwnedDisks[key] = vol.ID
	}
	return info
}

// owned returns the ids of the volumes that the VM owns, whether or not its
// definition still says so.
func (p *platform) owned(id string) []string {
	var ids []string
	for _, v := range p.Volumes {
		if v.VM == id {
			ids = append(ids, v.ID)
		}
	}
	slices.Sort(ids)
	return ids
}

// supports refuses what the capabilities do not declare.
func (d *Driver) supports(v spec.VM) error {
	c := d.Capabilities()
	if v.Boot != nil && !c.DirectBoot {
		return d.lacks("kernel", "DirectBoot", "direct kernel boot")
	}
	if v.SeedDigest() != "" && !c.CloudInit {
		return d.lacks("cloud_init", "CloudInit", "cloud-init seeds")
	}
	for _, key := range slices.Sorted(maps.Keys(v.NICs)) {
		n := v.NICs[key]
		if n.Network == "" && !c.UserNetworking {
			return d.lacks("nics."+key+".network", "UserNetworking", "user networking")
		}
		if n.Network != "" && len(c.NetworkModes) == 0 {
			return d.lacks("nics."+key+".network", "NetworkModes", "virtual networks")
		}
	}
	for _, key := range slices.Sorted(maps.Keys(v.Disks)) {
		if v.Disks[key].Backing != "" && !c.VolumeBacking {
			return d.lacks("disks."+key+".backing", "VolumeBacking", "overlays")
		}
	}
	return nil
}

func (d *Driver) lacks(field, power, what string) error {
	text := "the simulator was told not to support " + what
	if why := d.Capabilities().Why[power]; why != "" {
		text += ": " + why
	}
	return fault.At(field, fault.Errorf(fault.Unsupported, "%s", text))
}

// cloneVM returns a copy that shares nothing with v.
func cloneVM(v spec.VM) spec.VM {
	v.Labels = maps.Clone(v.Labels)
	v.Disks = maps.Clone(v.Disks)
	v.NICs = maps.Clone(v.NICs)
	for key, n := range v.NICs {
		n.Forward = maps.Clone(n.Forward)
		v.NICs[key] = n
	}
	v.SSHKeys = slices.Clone(v.SSHKeys)
	if v.Boot != nil {
		b := *v.Boot
		v.Boot = &b
	}
	if v.CloudInit != nil {
		c := *v.CloudInit
		v.CloudInit = &c
	}
	return v
}

// ownedName returns the name in its pool of what the VM owns.
func ownedName(v spec.VM, key, suffix string) string {
	return strings.Join([]string{v.Name, spec.ShortID(v.UUID), key, suffix}, ".")
}
