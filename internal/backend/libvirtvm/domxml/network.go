package domxml

import (
	"encoding/binary"
	"encoding/xml"
	"fmt"
	"net/netip"

	"libvirt.org/go/libvirtxml"

	"github.com/novacron/terraform-provider-novacron/internal/spec"
)

// NewNetwork returns the definition of a network.
func NewNetwork(n spec.Network) (string, error) {
	ip := libvirtxml.NetworkIP{Address: n.Gateway().String(), Prefix: uint(n.CIDR.Bits())}
	if n.DHCP {
		ip.DHCP = &libvirtxml.NetworkDHCP{Ranges: []libvirtxml.NetworkDHCPRange{{
			Start: n.Gateway().Next().String(), End: lastHost(n.CIDR).String(),
		}}}
	}
	x := libvirtxml.Network{
		Name: n.Name, UUID: n.UUID, IPs: []libvirtxml.NetworkIP{ip},
		Bridge: &libvirtxml.NetworkBridge{Name: bridgeName(n), STP: "on", Delay: "0"},
	}
	owner, err := xml.Marshal(networkMetadata{Owner: n.Owner})
	if err != nil {
		return "", err
	}
	x.Metadata = &libvirtxml.NetworkMetadata{XML: string(owner)}
	if n.Mode == spec.ModeNAT {
		x.Forward = &libvirtxml.NetworkForward{Mode: "nat"}
	}
	if n.Domain != "" {
		x.Domain = &libvirtxml.NetworkDomain{Name: n.Domain, LocalOnly: "yes"}
	}
	return x.Marshal()
}

// bridgeName returns the name of the host's interface. libvirt would choose the
// first that is free, and two daemons on one machine then the same one.
func bridgeName(n spec.Network) string { return "virbr-" + spec.ShortID(n.UUID) }

// networkMetadata is what a network remembers for us.
type networkMetadata struct {
	XMLName xml.Name `xml:"https://github.com/novacron/terraform-provider-novacron/vm/1 network"`
	Owner   string   `xml:"owner,omitempty"`
}

// networkOwner returns who made the network, or "".
func networkOwner(x *libvirtxml.Network) string {
	if x.Metadata == nil {
		return ""
	}
	var all struct {
		Ours []networkMetadata `xml:"https://github.com/novacron/terraform-provider-novacron/vm/1 network"`
	}
	if err := xml.Unmarshal([]byte("<metadata>"+x.Metadata.XML+"</metadata>"), &all); err != nil || len(all.Ours) == 0 {
		return ""
	}
	return all.Ours[0].Owner
}

// lastHost returns the highest address of the range that a guest can have.
func lastHost(p netip.Prefix) netip.Addr {
	a := p.Masked().Addr().As4()
	v := binary.BigEndian.Uint32(a[:]) | (1<<(32-p.Bits()) - 1)
	binary.BigEndian.PutUint32(a[:], v-1)
	return netip.AddrFrom4(a)
}

// ParseNetwork reads a network's definition. A mode that we do not make reads as
// libvirt names it.
func ParseNetwork(doc string) (spec.NetworkInfo, error) {
	var x libvirtxml.Network
	if err := x.Unmarshal(doc); err != nil {
		return spec.NetworkInfo{}, fmt.Errorf("definition of a network: %w", err)
	}
	info := spec.NetworkInfo{Network: spec.Network{UUID: x.UUID, Name: x.Name, Mode: spec.ModeIsolated}}
	info.Owner = networkOwner(&x)
	if x.Forward != nil {
		info.Mode = x.Forward.Mode
		if info.Mode == "" {
			info.Mode = spec.ModeNAT
		}
	}
	if x.Bridge != nil {
		info.Bridge = x.Bridge.Name
	}
	if x.Domain != nil {
		info.Domain = x.Domain.Name
	}
	for _, ip := range x.IPs {
		prefix, ok := prefixOf(ip)
		if !ok || !prefix.Addr().Is4() {
			continue
		}
		info.CIDR = prefix
		info.DHCP = ip.DHCP != nil && len(ip.DHCP.Ranges) > 0
		break
	}
	return info, nil
}

// prefixOf returns the range of an <ip>, which gives its length either way.
func prefixOf(ip libvirtxml.NetworkIP) (netip.Prefix, bool) {
	addr, err := netip.ParseAddr(ip.Address)
	if err != nil {
		return netip.Prefix{}, false
	}
	bits := int(ip.Prefix)
	if mask, err := netip.ParseAddr(ip.Netmask); err == nil && mask.Is4() {
		m := mask.As4()
		for bits = 0; bits < 32 && m[bits/8]&(0x80>>(bits%8)) != 0; bits++ {
		}
	}
	p, err := addr.Prefix(bits)
	return p, err == nil
}
