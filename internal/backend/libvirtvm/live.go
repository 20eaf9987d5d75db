package libvirtvm

import (
	"net/netip"
	"slices"
	"strings"

	libvirt "github.com/digitalocean/go-libvirt"
	"libvirt.org/go/libvirtxml"

	"github.com/novacron/terraform-provider-novacron/internal/backend/libvirtvm/domxml"
	"github.com/novacron/terraform-provider-novacron/internal/fault"
	"github.com/novacron/terraform-provider-novacron/internal/libvirtconn"
	"github.com/novacron/terraform-provider-novacron/internal/spec"
)

// sources are where addresses come from, best first.
var sources = [...]struct {
	name string
	id   libvirt.DomainInterfaceAddressesSource
}{
	{"agent", libvirt.DomainInterfaceAddressesSrcAgent},
	{"lease", libvirt.DomainInterfaceAddressesSrcLease},
	{"arp", libvirt.DomainInterfaceAddressesSrcArp},
}

// readLive adds to p what only the running VM tells: addresses, and the ports
// that are forwarded now.
func readLive(l *libvirt.Libvirt, dom libvirt.Domain, p *domxml.Parsed) error {
	if err := readForwards(l, dom, p); err != nil {
		return err
	}
	if !hasNetwork(p.VMInfo) {
		return nil // nobody can reach an address behind user networking
	}
	doc, err := l.DomainGetXMLDesc(dom, 0)
	if err != nil {
		return err
	}
	live, err := domxml.Parse(doc)
	if err != nil {
		return err
	}
	agent := agentConnected(live)
	for _, s := range sources {
		if s.name == "agent" && !agent || s.name == "arp" && len(p.Addresses) > 0 {
			continue // asking an agent that is not there blocks
		}
		ifaces, err := l.DomainInterfaceAddresses(dom, uint32(s.id), 0)
		if k := fault.KindOf(libvirtconn.Fault(err)); k == fault.Unavailable || k == fault.NotFound {
			return err
		} else if err != nil {
			continue // the source knows nothing: the others may
		}
		addAddresses(p, s.name, ifaces)
	}
	return nil
}

// readForwards replaces the forwards of the definition by those in force, so
// that ones lost by a restart from outside show as a difference.
func readForwards(l *libvirt.Libvirt, dom libvirt.Domain, p *domxml.Parsed) error {
	if !slices.ContainsFunc(p.Meta.NICs, func(r domxml.NICRecord) bool { return len(r.Forward) > 0 }) {
		return nil
	}
	devices, err := netDevices(l, dom)
	if err != nil {
		return err
	}
	have, err := forwarded(l, dom)
	if err != nil {
		return err
	}
	for _, r := range p.Meta.NICs {
		nic := p.NICs[r.Key]
		if len(r.Forward) > 0 {
			nic.Forward = have[devices[r.MAC]]
			p.NICs[r.Key] = nic
		}
	}
	return nil
}

// agentConnected reports whether a guest agent listens.
func agentConnected(p *domxml.Parsed) bool {
	for _, c := range p.Domain.Devices.Channels {
		if c.Target != nil && c.Target.VirtIO != nil && c.Target.VirtIO.Name == "org.qemu.guest_agent.0" {
			return c.Target.VirtIO.State == "connected"
		}
	}
	return false
}

// addAddresses adds what one source knows, leaving out loopback, link-local
// addresses, and what a better source said already.
func addAddresses(p *domxml.Parsed, source string, ifaces []libvirt.DomainInterface) {
	for _, iface := range ifaces {
		mac := ""
		if len(iface.Hwaddr) > 0 {
			mac = strings.ToLower(iface.Hwaddr[0])
		}
		key := p.KeyOf(mac)
		for _, a := range iface.Addrs {
			ip, err := netip.ParseAddr(a.Addr)
			if err != nil || ip.IsLoopback() || ip.IsLinkLocalUnicast() || key == "" {
				continue
			}
			known := slices.ContainsFunc(p.Addresses, func(k spec.Address) bool { return k.IP == ip })
			if !known {
				p.Addresses = append(p.Addresses, spec.Address{NIC: key, MAC: mac, IP: ip, Source: source})
			}
		}
	}
}

// inUse reports whether the running domain still has the volume open: it took
// its disks from the definition it was started with.
func inUse(l *libvirt.Libvirt, dom libvirt.Domain, id string) (bool, error) {
	active, err := l.DomainIsActive(dom)
	if err != nil || active == 0 {
		return false, err
	}
	poolName, name, _ := spec.SplitVolumeID(id)
	pool, err := l.StoragePoolLookupByName(poolName)
	if err != nil {
		return false, err
	}
	vol, err := findVolume(l, pool, name)
	if err != nil || vol == nil {
		return false, err
	}
	v, err := describe(l, *vol)
	if err != nil {
		return false, err
	}
	disks, err := disksOf(l, dom, 0)
	return slices.ContainsFunc(disks, func(el libvirtxml.DomainDisk) bool {
		return domxml.Needs(el, vol.Pool, vol.Name, v.Path)
	}), err
}
