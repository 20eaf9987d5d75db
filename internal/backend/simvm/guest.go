package simvm

import (
	"hash/fnv"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/novacron/terraform-provider-novacron/internal/spec"
)

// guest is a VM that runs: the hardware that it was started with, which a new
// definition does not change.
type guest struct {
	Hardware spec.VM
	Start    time.Time
	Off      time.Time // when it will have obeyed a shutdown; zero: it was not asked
	Deaf     bool      // it ignores shutdown requests
	Paused   bool
}

// boots reports whether there is something to boot: a kernel, or a disk that
// something was written to.
func (p *platform) boots(v *vm) bool {
	if v.Guest != nil && v.Guest.Hardware.Boot != nil {
		return true
	}
	for _, id := range v.Disks {
		if p.contents(id) {
			return true
		}
	}
	return false
}

// contents reports whether the volume or one below it was written to.
func (p *platform) contents(id string) bool {
	for seen := 0; seen < 100; seen++ {
		v := p.Volumes[id]
		if v == nil {
			return false
		}
		if v.Contents {
			return true
		}
		id = v.Backing
	}
	return false
}

// ready reports whether the guest has booted.
func (p *platform) ready(v *vm) bool {
	return v.Guest != nil && !v.Guest.Paused && p.boots(v) && !p.now.Before(v.Guest.Start.Add(p.opt.BootTime))
}

// shutdown asks the guest to power itself off. A guest that is still booting
// obeys once it has; one without an operating system never does.
func (p *platform) shutdown(v *vm) {
	g := v.Guest
	if g == nil || g.Deaf || g.Paused || !g.Off.IsZero() || !p.boots(v) {
		return
	}
	from := p.now
	if up := g.Start.Add(p.opt.BootTime); up.After(from) {
		from = up
	}
	g.Off = from.Add(p.opt.ShutdownTime)
}

// power returns the VM's power state.
func (v *vm) power() spec.Power {
	switch {
	case v.Guest == nil && v.Crash:
		return spec.Crashed
	case v.Guest == nil:
		return spec.Stopped
	case v.Guest.Paused:
		return spec.Paused
	}
	return spec.Running
}

// addresses returns the leases of the guest, in the order of its interfaces.
func (p *platform) addresses(v *vm) []spec.Address {
	if !p.ready(v) {
		return nil
	}
	var list []spec.Address
	nics := v.Guest.Hardware.NICs
	for _, key := range slices.Sorted(maps.Keys(nics)) {
		n := p.networkOf(nics[key].Network)
		if n == nil {
			continue
		}
		if ip, err := netip.ParseAddr(n.Leases[nics[key].MAC]); err == nil {
			list = append(list, spec.Address{NIC: key, MAC: nics[key].MAC, IP: ip, Source: "lease"})
		}
	}
	return list
}

// lease gives the MAC address a free address of the network, the same one as
// far as possible whatever the order in which guests ask. A network without a
// free address gives none, and the guest stays without.
func (n *network) lease(mac string) {
	if n.Leases[mac] != "" {
		return
	}
	if n.Leases == nil {
		n.Leases = map[string]string{}
	}
	size := uint32(1) << (32 - n.CIDR.Bits())
	pool := size - 3 // all but the network, the host and the broadcast address
	h := fnv.New32a()
	h.Write([]byte(mac))
	taken := map[string]bool{}
	for _, ip := range n.Leases {
		taken[ip] = true
	}
	for i := range pool {
		ip := offset(n.CIDR.Addr(), 2+(h.Sum32()%pool+i)%pool).String()
		if !taken[ip] {
			n.Leases[mac] = ip
			return
		}
	}
}

// offset returns the IPv4 address that is n after a.
func offset(a netip.Addr, n uint32) netip.Addr {
	b := a.As4()
	v := uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
	v += n
	return netip.AddrFrom4([4]byte{byte(v >> 24), byte(v >> 16), byte(v >> 8), byte(v)})
}
