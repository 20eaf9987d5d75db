package simvm

import (
	"context"
	"maps"
	"slices"

	"github.com/novacron/terraform-provider-novacron/internal/fault"
	"github.com/novacron/terraform-provider-novacron/internal/spec"
)

// Hand is somebody who works on the platform behind the driver's back. What he
// names must exist. He has no faults and is not counted.
type Hand struct{ d *Driver }

// Hand returns a hand on the driver's platform.
func (d *Driver) Hand() Hand { return Hand{d.Again(nil)} }

// PowerOff pulls the plug of the VM.
func (h Hand) PowerOff(name string) error {
	return h.onVM("PowerOff", name, func(v *vm) { v.Guest = nil })
}

// PowerOn starts the VM.
func (h Hand) PowerOn(name string) error {
	return h.do("PowerOn", func(p *platform) error {
		v := p.vmNamed(name)
		if v == nil {
			return fault.Errorf(fault.NotFound, "there is no VM %q", name)
		}
		return p.start(v.Def.UUID)
	})
}

// Pause freezes the guest.
func (h Hand) Pause(name string) error {
	return h.onVM("Pause", name, func(v *vm) {
		if v.Guest != nil {
			v.Guest.Paused = true
		}
	})
}

// Crash makes the guest crash.
func (h Hand) Crash(name string) error {
	return h.onVM("Crash", name, func(v *vm) { v.Guest, v.Crash = nil, true })
}

// Deafen makes the running guest ignore shutdown requests.
func (h Hand) Deafen(name string) error {
	return h.onVM("Deafen", name, func(v *vm) {
		if v.Guest != nil {
			v.Guest.Deaf = true
		}
	})
}

// SetMemory edits the memory in the VM's definition.
func (h Hand) SetMemory(name string, size spec.Size) error {
	return h.onVM("SetMemory", name, func(v *vm) { v.Def.Memory = size })
}

// AddDevice adds a device that the driver does not manage.
func (h Hand) AddDevice(name, device string) error {
	return h.onVM("AddDevice", name, func(v *vm) { v.Devices = append(v.Devices, device) })
}

// DeleteVM powers the VM off and undefines it; its volumes stay.
func (h Hand) DeleteVM(name string) error {
	return h.do("DeleteVM", func(p *platform) error {
		v := p.vmNamed(name)
		if v == nil {
			return fault.Errorf(fault.NotFound, "there is no VM %q", name)
		}
		v.Guest = nil
		return p.undefine(v.Def.UUID)
	})
}

// DefineVM defines a VM that is nobody's of ours.
func (h Hand) DefineVM(uuid, name string) error {
	return h.do("DefineVM", func(p *platform) error {
		return p.define(spec.VM{UUID: uuid, Name: name, CPUs: 1, Memory: 128 * spec.MiB}, nil, "")
	})
}

// AddVolume makes a volume that is nobody's of ours.
func (h Hand) AddVolume(pool, name string, size spec.Size) error {
	return h.do("AddVolume", func(p *platform) error {
		return p.addVolume(volume{Volume: spec.Volume{ID: spec.VolumeID(pool, name), Name: name, Pool: pool, Size: size, Format: spec.FormatRaw}})
	})
}

// DeleteVolume removes the volume, whoever needs it.
func (h Hand) DeleteVolume(id string) error {
	return h.do("DeleteVolume", func(p *platform) error {
		if p.Volumes[id] == nil {
			return noVolume(id)
		}
		delete(p.Volumes, id)
		return nil
	})
}

// StopNetwork takes the network down.
func (h Hand) StopNetwork(name string) error {
	return h.onNetwork("StopNetwork", name, func(_ *platform, n *network) { n.Active = false })
}

// DeleteNetwork removes the network, whoever is on it.
func (h Hand) DeleteNetwork(name string) error {
	return h.onNetwork("DeleteNetwork", name, func(p *platform, n *network) { delete(p.Networks, n.UUID) })
}

// Guest returns how often the VM was started, and the memory that its running
// guest has: 0 while it is off.
func (h Hand) Guest(name string) (boots int, memory spec.Size, err error) {
	err = h.onVM("Guest", name, func(v *vm) {
		boots = v.Boots
		if v.Guest != nil {
			memory = v.Guest.Hardware.Memory
		}
	})
	return boots, memory, err
}

// Forwards returns the ports of the host that lead into the running guest.
func (h Hand) Forwards(name string) (ports []uint16, err error) {
	err = h.onVM("Forwards", name, func(v *vm) {
		if v.Guest == nil {
			return
		}
		for _, n := range v.Guest.Hardware.NICs {
			ports = append(ports, slices.Collect(maps.Keys(n.Forward))...)
		}
	})
	slices.Sort(ports)
	return ports, err
}

// Seed returns the digest of what is written in the VM's seed, "" without one.
func (h Hand) Seed(name string) (digest string, err error) {
	err = h.do("Seed", func(p *platform) error {
		v := p.vmNamed(name)
		if v == nil {
			return fault.Errorf(fault.NotFound, "there is no VM %q", name)
		}
		if vol := p.Volumes[v.Seed]; vol != nil {
			digest = vol.UUID
		}
		return nil
	})
	return digest, err
}

// Inventory returns the names of all VMs, volumes (by id) and networks.
func (h Hand) Inventory() (vms, volumes, networks []string, err error) {
	err = h.d.read(context.Background(), "hand: Inventory", func(p *platform) error {
		for _, v := range p.VMs {
			vms = append(vms, v.Def.Name)
		}
		for id := range p.Volumes {
			volumes = append(volumes, id)
		}
		for _, n := range p.Networks {
			networks = append(networks, n.Name)
		}
		return nil
	})
	return vms, volumes, networks, err
}

func (h Hand) do(what string, f func(*platform) error) error {
	return h.d.write(context.Background(), "hand: "+what, f)
}

func (h Hand) onVM(what, name string, f func(*vm)) error {
	return h.do(what, func(p *platform) error {
		v := p.vmNamed(name)
		if v == nil {
			return fault.Errorf(fault.NotFound, "there is no VM %q", name)
		}
		f(v)
		return nil
	})
}

func (h Hand) onNetwork(what, name string, f func(*platform, *network)) error {
	return h.do(what, func(p *platform) error {
		n := p.networkOf(name)
		if n == nil {
			return noNetwork(name)
		}
		f(p, n)
		return nil
	})
}
