package simvm

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/novacron/terraform-provider-novacron/internal/fault"
	"github.com/novacron/terraform-provider-novacron/internal/spec"
)

// platform is the simulated host: what exists on it and its rules. Its methods
// check before they change anything. Not safe for concurrent use: a store
// serialises its users.
type platform struct {
	VMs      map[string]*vm      // by UUID
	Volumes  map[string]*volume  // by id
	Networks map[string]*network // by UUID

	opt *Options
	now time.Time
}

// vm is a domain: its definition and, while it runs, its guest.
type vm struct {
	Def     spec.VM           // with every default filled in; Power is not used
	Disks   map[string]string // volume id of every disk, by key
	Seed    string            // volume id; "" without one
	Devices []string          // what somebody else added

	Guest *guest // nil while it is off
	Crash bool   // it is off because it crashed
	Boots int    // how often it was started
}

// volume is a disk image.
type volume struct {
	spec.Volume
	VM       string // UUID of the VM that owns it
	Contents bool   // something was written to it: it may boot
}

// network is a virtual network and its leases by MAC address.
type network struct {
	spec.Network
	Active bool
	Leases map[string]string
}

func newPlatform() *platform {
	return &platform{VMs: map[string]*vm{}, Volumes: map[string]*volume{}, Networks: map[string]*network{}}
}

// whole reports what is missing from a platform that was read from a file.
func (p *platform) whole() error {
	if p == nil || p.VMs == nil || p.Volumes == nil || p.Networks == nil {
		return fmt.Errorf("it has no platform in it")
	}
	for id, v := range p.VMs {
		if v == nil || v.Def.UUID != id {
			return fmt.Errorf("its VM %q has no such identity", id)
		}
	}
	for id, v := range p.Volumes {
		if v == nil || v.ID != id {
			return fmt.Errorf("its volume %q has no such id", id)
		}
	}
	for id, n := range p.Networks {
		if n == nil || n.UUID != id {
			return fmt.Errorf("its network %q has no such identity", id)
		}
	}
	return nil
}

// open brings the platform to the present: guests that were asked to shut down
// may be off by now.
func (p *platform) open(o *Options, now time.Time) {
	p.opt, p.now = o, now
	for _, v := range p.VMs {
		if g := v.Guest; g != nil && !g.Off.IsZero() && !now.Before(g.Off) {
			v.Guest = nil
		}
	}
}

// vm returns the VM with the UUID.
func (p *platform) vm(id string) (*vm, error) {
	if v := p.VMs[id]; v != nil {
		return v, nil
	}
	return nil, fault.Errorf(fault.NotFound, "there is no VM with the UUID %s", id)
}

// vmNamed returns the VM with the name, or nil.
func (p *platform) vmNamed(name string) *vm {
	for _, v := range p.VMs {
		if v.Def.Name == name {
			return v
		}
	}
	return nil
}

// define writes the definition of a VM, new or known.
func (p *platform) define(def spec.VM, disks map[string]string, seed string) error {
	if v := p.vmNamed(def.Name); v != nil && v.Def.UUID != def.UUID {
		return taken("VM", def.Name, v.Def.UUID)
	}
	for key, id := range disks {
		if p.Volumes[id] == nil {
			return fault.At("disks."+key, fault.Errorf(fault.NotFound, "there is no volume %s", id))
		}
	}
	v := p.VMs[def.UUID]
	if v == nil {
		v = &vm{}
		p.VMs[def.UUID] = v
	}
	v.Def, v.Disks, v.Seed = def, maps.Clone(disks), seed
	return nil
}

// undefine forgets a VM that is off; its volumes stay.
func (p *platform) undefine(id string) error {
	v, err := p.vm(id)
	if err != nil {
		return err
	}
	if v.Guest != nil {
		return fault.Errorf(fault.Busy, "VM %q is running", v.Def.Name)
	}
	delete(p.VMs, id)
	return nil
}

// start powers a VM on. One that runs is left alone.
func (p *platform) start(id string) error {
	v, err := p.vm(id)
	if err != nil {
		return err
	}
	if v.Guest != nil {
		v.Guest.Paused = false
		return nil
	}
	if err := p.startable(v); err != nil {
		return err
	}
	v.Boots++
	v.Crash = false
	v.Guest = &guest{Hardware: cloneVM(v.Def), Start: p.now}
	for _, key := range slices.Sorted(maps.Keys(v.Def.NICs)) {
		if n := p.networkOf(v.Def.NICs[key].Network); n != nil && n.DHCP {
			n.lease(v.Def.NICs[key].MAC)
		}
	}
	return nil
}

// startable says why the VM cannot be powered on now.
func (p *platform) startable(v *vm) error {
	used := v.Def.Memory
	ports := map[uint16]string{}
	writers := map[string]string{}
	for _, other := range p.VMs {
		if other.Guest == nil {
			continue
		}
		used += other.Guest.Hardware.Memory
		for _, n := range other.Guest.Hardware.NICs {
			for port := range n.Forward {
				ports[port] = other.Def.Name
			}
		}
		for key, id := range other.Disks {
			if !other.Def.Disks[key].ReadOnly {
				writers[id] = other.Def.Name
			}
		}
	}
	if used > p.opt.Memory {
		return fault.At("memory", fault.Errorf(fault.Exhausted, "the host has %s for guests: %s would be in use", p.opt.Memory, used))
	}
	for key, id := range v.Disks {
		if p.Volumes[id] == nil {
			return fault.At("disks."+key, fault.Errorf(fault.NotFound, "there is no volume %s", id))
		}
		if by := writers[id]; by != "" {
			return fault.At("disks."+key+".volume", fault.Errorf(fault.Conflict, "volume %s is being written by VM %q", id, by))
		}
	}
	for key, n := range v.Def.NICs {
		net := p.networkOf(n.Network)
		if n.Network != "" && net == nil {
			return fault.At("nics."+key+".network", noNetwork(n.Network))
		}
		if net != nil && !net.Active {
			return fault.At("nics."+key+".network", fault.Errorf(fault.Unavailable, "network %q is not active", net.Name))
		}
		for port := range n.Forward {
			if by := ports[port]; by != "" {
				return fault.At("nics."+key+".forward", fault.Errorf(fault.Conflict, "port %d of the host is forwarded to VM %q", port, by))
			}
		}
	}
	return nil
}

// addVolume makes a volume in a pool.
func (p *platform) addVolume(v volume) error {
	capacity, ok := p.opt.Pools[v.Pool]
	if !ok {
		return fault.At("pool", noPool(v.Pool))
	}
	if old := p.Volumes[v.ID]; old != nil {
		return taken("volume", v.ID, old.UUID)
	}
	if v.Backing != "" && p.Volumes[v.Backing] == nil {
		return fault.At("backing", noVolume(v.Backing))
	}
	if used := p.used(v.Pool); used+v.Size > capacity {
		return fault.At("size", fault.Errorf(fault.Exhausted, "pool %q has %s left, and %s is wanted", v.Pool, capacity-used, v.Size))
	}
	p.Volumes[v.ID] = &v
	return nil
}

// growVolume makes the volume at least size large.
func (p *platform) growVolume(id string, size spec.Size) error {
	v := p.Volumes[id]
	if v == nil {
		return noVolume(id)
	}
	if v.Size >= size {
		return nil
	}
	if used := p.used(v.Pool) - v.Size; used+size > p.opt.Pools[v.Pool] {
		return fault.At("size", fault.Errorf(fault.Exhausted, "pool %q has %s left, and %s is wanted", v.Pool, p.opt.Pools[v.Pool]-used, size))
	}
	v.Size = size
	return nil
}

// dropVolume removes a volume that nothing needs; by is the UUID of a VM whose
// need does not count, as long as it is off.
func (p *platform) dropVolume(id, by string) error {
	if p.Volumes[id] == nil {
		return noVolume(id)
	}
	if u := p.users(id, by); len(u) > 0 {
		return fault.Errorf(fault.Busy, "volume %s is needed by %s", id, u[0])
	}
	delete(p.Volumes, id)
	return nil
}

// users returns what needs the volume, except the VM by while it is off.
func (p *platform) users(id, by string) []string {
	var users []string
	for _, v := range p.VMs {
		if v.Def.UUID == by && v.Guest == nil {
			continue
		}
		if v.Seed == id || slices.Contains(slices.Collect(maps.Values(v.Disks)), id) {
			users = append(users, "VM "+v.Def.Name)
		}
	}
	for _, v := range p.Volumes {
		if v.Backing == id {
			users = append(users, "volume "+v.ID)
		}
	}
	slices.Sort(users)
	return users
}

// used returns what the volumes of the pool take of it: a pool does not overcommit.
func (p *platform) used(pool string) spec.Size {
	var sum spec.Size
	for _, v := range p.Volumes {
		if v.Pool == pool {
			sum += v.Size
		}
	}
	return sum
}

// networkOf returns the network with the name or UUID, or nil.
func (p *platform) networkOf(ref string) *network {
	for _, n := range p.Networks {
		if n.UUID == ref || n.Name == ref {
			return n
		}
	}
	return nil
}

// dropNetwork stops and removes a network that no running VM is on.
func (p *platform) dropNetwork(id string) error {
	n := p.Networks[id]
	if n == nil {
		return noNetwork(id)
	}
	for _, v := range p.VMs {
		if v.Guest == nil {
			continue
		}
		for _, nic := range v.Guest.Hardware.NICs {
			if nic.Network != "" && p.networkOf(nic.Network) == n {
				return fault.Errorf(fault.Busy, "VM %q is running on network %q", v.Def.Name, n.Name)
			}
		}
	}
	delete(p.Networks, id)
	return nil
}

func noVolume(id string) error { return fault.Errorf(fault.NotFound, "there is no volume %s", id) }
func noPool(name string) error {
	return fault.Errorf(fault.NotFound, "there is no storage pool %q", name)
}
func noNetwork(ref string) error {
	return fault.Errorf(fault.NotFound, "there is no network %q", ref)
}

// taken refuses a name that belongs to another identity.
func taken(noun, name, uuid string) error {
	if uuid == "" {
		uuid = "none of ours"
	}
	err := fault.Errorf(fault.Conflict, "there is a %s %q already, of another identity (%s)", noun, name, uuid)
	return fault.WithHint(fault.At("name", err), "import it, or choose another name")
}
