package spec

import (
	"net/netip"
	"regexp"
)

// The modes of a network.
const (
	ModeNAT      = "nat"      // guests reach the outside through the host's address
	ModeIsolated = "isolated" // guests reach each other and the host only
)

// Network is a virtual network as a user asks for it or as a platform holds it.
type Network struct {
	UUID   string // identity
	Owner  string
	Name   string
	Mode   string
	CIDR   netip.Prefix // the guests' addresses; the host takes the first
	DHCP   bool         // hands out the rest of CIDR
	Domain string       // DNS domain of the guests; may be empty
}

// NetworkInfo is a network as its platform holds it now.
type NetworkInfo struct {
	Network
	Active bool
	Bridge string // the host's interface; empty where there is none
}

var networkName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,49}$`)
var domainName = regexp.MustCompile(`^([A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)(\.[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*$`)

// Validate returns what is wrong with the network whatever platform it goes to.
func (n *Network) Validate() []Problem {
	var p problems
	p.check(networkName.MatchString(n.Name), "name", "%q is not a name: up to 50 letters, digits, '.', '_' and '-', starting with a letter or digit", n.Name)
	p.check(n.Mode == ModeNAT || n.Mode == ModeIsolated, "mode", "%q is neither %q nor %q", n.Mode, ModeNAT, ModeIsolated)
	p.check(n.Domain == "" || domainName.MatchString(n.Domain), "domain", "%q is not a DNS domain", n.Domain)
	switch {
	case !n.CIDR.IsValid() || !n.CIDR.Addr().Is4():
		p.add("cidr", "an IPv4 range such as 10.20.0.0/24 is needed")
	case n.CIDR.Masked() != n.CIDR:
		p.add("cidr", "%s has host bits set: the range is %s", n.CIDR, n.CIDR.Masked())
	case n.CIDR.Bits() < 8 || n.CIDR.Bits() > 29:
		p.add("cidr", "%s: the prefix must be from /8 to /29", n.CIDR)
	}
	return p.sorted()
}

// Gateway returns the host's address in the network.
func (n *Network) Gateway() netip.Addr { return n.CIDR.Addr().Next() }
