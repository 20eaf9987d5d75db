package change

import (
	"maps"
	"slices"

	"github.com/novacron/terraform-provider-novacron/internal/spec"
)

// VM compares a VM as it is with the VM as it is wanted. Nil maps in want mean
// "leave as it is". A smaller size of a disk is a difference like a larger one,
// and is refused before and by every driver.
func VM(have, want spec.VM) Plan {
	var p Plan
	if have.Name != want.Name {
		p.add(Replace, "name", "the name is part of the VM's identity")
	}
	if have.Description != want.Description {
		p.add(None, "description", "")
	}
	if want.Labels != nil && !maps.Equal(have.Labels, want.Labels) {
		p.add(None, "labels", "")
	}
	if have.Autostart != want.Autostart {
		p.add(None, "autostart", "")
	}
	hardware(&p, have, want)
	seed(&p, have, want)
	if have.Power != want.Power {
		p.add(power(have.Power, want.Power), "power_state", "")
	}
	if want.Power == spec.Stopped || off(have.Power) {
		p = p.offline()
	}
	return p.sorted()
}

// hardware adds the differences that the guest's firmware sees.
func hardware(p *Plan, have, want spec.VM) {
	const atStart = "the guest gets it at its next start"
	if have.CPUs != want.CPUs {
		p.add(Reboot, "cpus", atStart)
	}
	if have.Memory != want.Memory {
		p.add(Reboot, "memory", atStart)
	}
	h, w := boot(have), boot(want)
	if h.Kernel != w.Kernel {
		p.add(Reboot, "kernel", atStart)
	}
	if h.Initrd != w.Initrd {
		p.add(Reboot, "initrd", atStart)
	}
	if h.Cmdline != w.Cmdline {
		p.add(Reboot, "cmdline", atStart)
	}
	if want.Disks != nil {
		for _, key := range keys(have.Disks, want.Disks) {
			disk(p, key, have.Disks, want.Disks)
		}
	}
	if want.NICs != nil {
		for _, key := range keys(have.NICs, want.NICs) {
			nic(p, key, &have, &want)
		}
	}
}

func boot(v spec.VM) spec.DirectBoot {
	if v.Boot == nil {
		return spec.DirectBoot{}
	}
	return *v.Boot
}

func disk(p *Plan, key string, have, want map[string]spec.Disk) {
	h, had := have[key]
	w, wanted := want[key]
	field := "disks." + key
	switch {
	case !had || !wanted:
		p.add(Reboot, field, "disks are attached and detached while the guest is off")
	case h.Volume != w.Volume || h.Backing != w.Backing || w.Pool != "" && h.Pool != w.Pool:
		p.add(Reboot, field, "another disk takes its place")
	default:
		if w.Size != 0 && h.Size != w.Size {
			p.add(Live, field+".size", "")
		}
		if h.Bus != w.Bus && w.Bus != "" {
			p.add(Reboot, field+".bus", "a disk changes its bus while the guest is off")
		}
		if h.ReadOnly != w.ReadOnly {
			p.add(Reboot, field+".read_only", "it takes effect when the guest starts")
		}
	}
}

func nic(p *Plan, key string, have, want *spec.VM) {
	h, had := have.NICs[key]
	w, wanted := want.NICs[key]
	field := "nics." + key
	switch {
	case !had || !wanted:
		p.add(Reboot, field, "interfaces are attached and detached while the guest is off")
		return
	case h.Network != w.Network:
		p.add(Reboot, field+".network", "the interface is plugged in elsewhere while the guest is off")
	case have.MACFor(key) != want.MACFor(key):
		p.add(Reboot, field+".mac", "the guest sees another interface")
	case w.Model != "" && h.Model != w.Model:
		p.add(Reboot, field+".model", "the guest sees another interface")
	}
	if !maps.Equal(h.Forward, w.Forward) {
		p.add(Live, field+".forward", "")
	}
}

func seed(p *Plan, have, want spec.VM) {
	if have.SeedDigest() != want.SeedDigest() {
		p.add(Reboot, "cloud_init", "the guest reads its seed when it starts")
	}
}

// power returns the class of a change of power state: switching on what is off
// and resuming what is paused disturbs nobody, switching off is the end of what
// runs.
func power(have, want spec.Power) Class {
	switch {
	case have == spec.Paused && want == spec.Running:
		return Live
	case !off(have):
		return Reboot
	case want == spec.Running:
		return Live
	}
	return None
}

// off reports whether there is no guest to disturb.
func off(p spec.Power) bool { return p == spec.Stopped || p == spec.Crashed }

// offline lowers the operations on a guest that is off anyway: nobody notices.
func (p Plan) offline() Plan {
	for i, op := range p.Ops {
		if op.Class == Reboot && op.Field != "power_state" {
			p.Ops[i] = Op{Class: None, Field: op.Field}
		}
	}
	return p
}

// keys returns the keys of both maps, sorted.
func keys[V any](a, b map[string]V) []string {
	all := maps.Clone(a)
	if all == nil {
		all = map[string]V{}
	}
	maps.Copy(all, b)
	return slices.Sorted(maps.Keys(all))
}
