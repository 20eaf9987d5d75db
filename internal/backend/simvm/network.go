package simvm

import (
	"context"

	"github.com/novacron/terraform-provider-novacron/internal/fault"
	"github.com/novacron/terraform-provider-novacron/internal/spec"
)

// CreateNetwork makes the network and starts it.
func (d *Driver) CreateNetwork(ctx context.Context, n spec.Network) (spec.NetworkInfo, error) {
	if c := d.Capabilities(); !c.HasNetworkMode(n.Mode) {
		return spec.NetworkInfo{}, d.lacks("mode", "NetworkModes", "networks of mode "+n.Mode)
	}
	var u undo
	known := false
	err := d.read(ctx, "CreateNetwork: look for it", func(p *platform) error {
		known = p.Networks[n.UUID] != nil
		return p.free(n)
	})
	if err != nil {
		return spec.NetworkInfo{}, err
	}
	if !known {
		u.add("CreateNetwork: take back define", func(p *platform) error { return p.dropNetwork(n.UUID) })
	}
	err = d.write(ctx, "CreateNetwork: define", func(p *platform) error {
		if err := p.free(n); err != nil {
			return err
		}
		if old := p.Networks[n.UUID]; old != nil {
			old.Network = n
			return nil
		}
		p.Networks[n.UUID] = &network{Network: n}
		return nil
	})
	if err != nil {
		return spec.NetworkInfo{}, err
	}
	err = d.write(ctx, "CreateNetwork: start", func(p *platform) error {
		net := p.Networks[n.UUID]
		if net == nil {
			return noNetwork(n.Name)
		}
		if by := p.overlapping(net); by != "" {
			return fault.At("cidr", fault.Errorf(fault.Conflict, "%s is in use by network %q", net.CIDR, by))
		}
		net.Active = true
		return nil
	})
	if err != nil {
		return spec.NetworkInfo{}, u.run(ctx, d, err)
	}
	return d.Network(ctx, n.UUID)
}

// free reports whether the network can have its name.
func (p *platform) free(n spec.Network) error {
	for _, old := range p.Networks {
		if old.Name == n.Name && old.UUID != n.UUID {
			return taken("network", n.Name, old.UUID)
		}
	}
	return nil
}

// overlapping returns the name of another active network in the range of n.
func (p *platform) overlapping(n *network) string {
	for _, other := range p.Networks {
		if other != n && other.Active && other.CIDR.Overlaps(n.CIDR) {
			return other.Name
		}
	}
	return ""
}

// Network returns the network with the UUID.
func (d *Driver) Network(ctx context.Context, id string) (info spec.NetworkInfo, err error) {
	err = d.read(ctx, "Network: read", func(p *platform) error {
		n := p.Networks[id]
		if n == nil {
			return noNetwork(id)
		}
		info = n.info()
		return nil
	})
	return info, err
}

// FindNetwork returns the network with the name.
func (d *Driver) FindNetwork(ctx context.Context, name string) (info spec.NetworkInfo, err error) {
	err = d.read(ctx, "FindNetwork: read", func(p *platform) error {
		for _, n := range p.Networks {
			if n.Name == name {
				info = n.info()
				return nil
			}
		}
		return noNetwork(name)
	})
	return info, err
}

// DeleteNetwork stops and removes the network.
func (d *Driver) DeleteNetwork(ctx context.Context, id string) error {
	err := d.write(ctx, "DeleteNetwork: delete", func(p *platform) error { return p.dropNetwork(id) })
	if fault.KindOf(err) == fault.NotFound {
		return nil
	}
	return err
}

func (n *network) info() spec.NetworkInfo {
	info := spec.NetworkInfo{Network: n.Network, Active: n.Active}
	if n.Active {
		info.Bridge = "sim-" + spec.ShortID(n.UUID)
	}
	return info
}
