package change

import "github.com/novacron/terraform-provider-novacron/internal/spec"

// Network compares a network as it is with the network as it is wanted.
func Network(have, want spec.Network) Plan {
	const why = "the network is taken down and made anew"
	var p Plan
	if have.Name != want.Name {
		p.add(Replace, "name", why)
	}
	if have.Mode != want.Mode {
		p.add(Replace, "mode", why)
	}
	if have.CIDR != want.CIDR {
		p.add(Replace, "cidr", why)
	}
	if have.DHCP != want.DHCP {
		p.add(Replace, "dhcp", why)
	}
	if have.Domain != want.Domain {
		p.add(Replace, "domain", why)
	}
	return p.sorted()
}
