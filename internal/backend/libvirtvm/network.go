package libvirtvm

import (
	"context"
	"fmt"

	libvirt "github.com/digitalocean/go-libvirt"

	"github.com/novacron/terraform-provider-novacron/internal/backend/libvirtvm/domxml"
	"github.com/novacron/terraform-provider-novacron/internal/fault"
	"github.com/novacron/terraform-provider-novacron/internal/libvirtconn"
	"github.com/novacron/terraform-provider-novacron/internal/spec"
)

// CreateNetwork makes the network, starts it, and has it start with its host.
func (d *Driver) CreateNetwork(ctx context.Context, n spec.Network) (spec.NetworkInfo, error) {
	if c := d.Capabilities(); !c.HasNetworkMode(n.Mode) {
		return spec.NetworkInfo{}, fault.At("mode", fault.Errorf(fault.Unsupported, "no networks of mode %s: %s", n.Mode, c.Why["NetworkModes"]))
	}
	err := d.conn.Do(ctx, func(l *libvirt.Libvirt) error {
		net, made, err := defineNetwork(l, n)
		if err != nil {
			return err
		}
		if err = startNetwork(l, net); err != nil {
			err = unstarted(l, n, err)
		}
		if err != nil && made {
			if uerr := l.NetworkUndefine(net); uerr != nil {
				return fmt.Errorf("%w (and its definition stays: %v)", err, uerr)
			}
		}
		return err
	})
	if err != nil {
		return spec.NetworkInfo{}, err
	}
	return d.Network(ctx, n.UUID)
}

// defineNetwork returns the network of the identity; made is whether this call
// made it.
func defineNetwork(l *libvirt.Libvirt, n spec.Network) (net libvirt.Network, made bool, err error) {
	uuid, err := uuidOf(n.UUID)
	if err != nil {
		return net, false, fault.As(fault.Invalid, err)
	}
	net, err = l.NetworkLookupByUUID(uuid)
	if err == nil || !is(err, libvirt.ErrNoNetwork) {
		return net, false, err
	}
	if other, err := l.NetworkLookupByName(n.Name); err == nil {
		if other.UUID == uuid {
			return other, false, nil // a call that was cut short was still under way
		}
		return other, false, taken("network", n.Name, other.UUID)
	}
	doc, err := domxml.NewNetwork(n)
	if err != nil {
		return net, false, err
	}
	net, err = l.NetworkDefineXML(doc)
	return net, err == nil, err
}

// taken says that the name belongs to something else.
func taken(noun, name string, uuid libvirt.UUID) error {
	err := fault.Errorf(fault.Conflict, "a %s called %q exists already on the host (UUID %s) and was not made by this configuration", noun, name, uuidText(uuid))
	return fault.At("name", fault.WithHint(err, "choose another name, or take it over: terraform import novacron_%s.NAME %s", resourceOf(noun), name))
}

func resourceOf(noun string) string {
	if noun == "VM" {
		return "vm"
	}
	return noun
}

func uuidText(u libvirt.UUID) string {
	return fmt.Sprintf("%x-%x-%x-%x-%x", u[0:4], u[4:6], u[6:8], u[8:10], u[10:16])
}

// startNetwork starts the network unless it runs.
func startNetwork(l *libvirt.Libvirt, net libvirt.Network) error {
	if err := l.NetworkSetAutostart(net, 1); err != nil {
		return err
	}
	active, err := l.NetworkIsActive(net)
	if err != nil || active == 1 {
		return err
	}
	if err := l.NetworkCreate(net); err != nil {
		return fmt.Errorf("start network %q: %w", net.Name, err)
	}
	return nil
}

// Network returns the network.
func (d *Driver) Network(ctx context.Context, id string) (spec.NetworkInfo, error) {
	uuid, err := uuidOf(id)
	if err != nil {
		return spec.NetworkInfo{}, err
	}
	return d.readNetwork(ctx, func(l *libvirt.Libvirt) (libvirt.Network, error) { return l.NetworkLookupByUUID(uuid) })
}

// FindNetwork returns the network with the name.
func (d *Driver) FindNetwork(ctx context.Context, name string) (spec.NetworkInfo, error) {
	return d.readNetwork(ctx, func(l *libvirt.Libvirt) (libvirt.Network, error) { return l.NetworkLookupByName(name) })
}

func (d *Driver) readNetwork(ctx context.Context, find func(*libvirt.Libvirt) (libvirt.Network, error)) (info spec.NetworkInfo, err error) {
	err = d.conn.Do(ctx, func(l *libvirt.Libvirt) error {
		net, err := find(l)
		if err != nil {
			return err
		}
		doc, err := l.NetworkGetXMLDesc(net, 0)
		if err != nil {
			return err
		}
		if info, err = domxml.ParseNetwork(doc); err != nil {
			return err
		}
		active, err := l.NetworkIsActive(net)
		info.Active = active == 1
		return err
	})
	return info, err
}

// DeleteNetwork stops and removes the network.
func (d *Driver) DeleteNetwork(ctx context.Context, id string) error {
	uuid, err := uuidOf(id)
	if err != nil {
		return nil // nothing has such an id
	}
	return d.conn.Do(ctx, func(l *libvirt.Libvirt) error {
		net, err := l.NetworkLookupByUUID(uuid)
		if is(err, libvirt.ErrNoNetwork) {
			return nil
		}
		if err != nil {
			return err
		}
		active, err := l.NetworkIsActive(net)
		if err != nil {
			return err
		}
		if active == 1 {
			if err := plugged(l, net); err != nil {
				return err
			}
			if err := l.NetworkDestroy(net); err != nil && !is(err, libvirt.ErrOperationInvalid) {
				return err
			}
		}
		err = l.NetworkUndefine(net)
		if is(err, libvirt.ErrNoNetwork) {
			return nil
		}
		return err
	})
}

// plugged reports running guests that are on the network, which libvirt would
// cut off without a word.
func plugged(l *libvirt.Libvirt, net libvirt.Network) error {
	ports, _, err := l.NetworkListAllPorts(net, 1, 0)
	switch {
	case fault.KindOf(libvirtconn.Fault(err)) == fault.Unsupported:
		return nil
	case err != nil:
		return err
	case len(ports) > 0:
		err := fault.Errorf(fault.Busy, "%d interfaces of running VMs are on the network", len(ports))
		return fault.WithHint(err, "virsh net-port-list %s shows them", net.Name)
	}
	return nil
}
