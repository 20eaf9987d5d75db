package libvirtvm

import (
	"fmt"

	libvirt "github.com/digitalocean/go-libvirt"

	"github.com/novacron/terraform-provider-novacron/internal/backend/libvirtvm/domxml"
	"github.com/novacron/terraform-provider-novacron/internal/fault"
	"github.com/novacron/terraform-provider-novacron/internal/spec"
)

// unstarted explains why a network did not start: most often because another one
// that runs has part of its range, of which libvirt tells only the interface.
func unstarted(l *libvirt.Libvirt, n spec.Network, failed error) error {
	nets, _, err := l.ConnectListAllNetworks(1, libvirt.ConnectListNetworksActive)
	if err != nil {
		return failed // that it did not start matters more
	}
	for _, net := range nets {
		doc, err := l.NetworkGetXMLDesc(net, 0)
		if err != nil {
			continue
		}
		other, err := domxml.ParseNetwork(doc)
		if err != nil || other.UUID == n.UUID || !other.CIDR.IsValid() || !other.CIDR.Overlaps(n.CIDR) {
			continue
		}
		err = fault.As(fault.Conflict, fmt.Errorf("network %q of the host has %s: %w", net.Name, other.CIDR, failed))
		return fault.At("cidr", fault.WithHint(err, "choose another range"))
	}
	return fault.WithHint(failed, "another interface of the host may use the same range")
}
