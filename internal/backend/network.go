package backend

import (
	"context"
	"fmt"

	"github.com/novacron/terraform-provider-novacron/internal/spec"
)

// CheckNetwork returns what is wrong with the network for this target, without
// connecting.
func (b *Backend) CheckNetwork(n spec.Network) []spec.Problem {
	c := b.Capabilities()
	p := n.Validate()
	switch {
	case len(c.NetworkModes) == 0:
		p = append(p, spec.Problem{Text: b.lacks(c, "NetworkModes", "virtual networks")})
	case !c.HasNetworkMode(n.Mode):
		p = append(p, spec.Problem{Field: "mode", Text: b.lacks(c, "NetworkModes", fmt.Sprintf("networks of mode %s", n.Mode))})
	}
	return byField(p)
}

// CreateNetwork makes the network and starts it, or adopts what an interrupted
// run of the same configuration left of it.
func (b *Backend) CreateNetwork(ctx context.Context, n spec.Network) (spec.NetworkInfo, error) {
	if err := b.claim(n.UUID); err != nil {
		return spec.NetworkInfo{}, b.wrap(err, "create", "network", n.Name)
	}
	info, err := patient(ctx, b, func() (spec.NetworkInfo, error) { return b.drv.CreateNetwork(ctx, n) })
	if err != nil {
		b.release(n.UUID)
	}
	return info, b.wrap(err, "create", "network", n.Name)
}

// StartNetwork starts a network that exists but was stopped.
func (b *Backend) StartNetwork(ctx context.Context, n spec.Network) (spec.NetworkInfo, error) {
	info, err := b.drv.CreateNetwork(ctx, n)
	return info, b.wrap(err, "start", "network", n.Name)
}

// Network returns the network with the UUID.
func (b *Backend) Network(ctx context.Context, id string) (spec.NetworkInfo, error) {
	info, err := b.drv.Network(ctx, id)
	return info, b.wrap(err, "read", "network", id)
}

// FindNetwork returns the network with the name.
func (b *Backend) FindNetwork(ctx context.Context, name string) (spec.NetworkInfo, error) {
	info, err := b.drv.FindNetwork(ctx, name)
	return info, b.wrap(err, "find", "network", name)
}

// DeleteNetwork stops and removes the network. One that is gone already is not
// an error.
func (b *Backend) DeleteNetwork(ctx context.Context, id string) error {
	_, err := patient(ctx, b, func() (struct{}, error) { return struct{}{}, b.drv.DeleteNetwork(ctx, id) })
	if err == nil {
		b.release(id)
	}
	return b.wrap(err, "delete", "network", id)
}
