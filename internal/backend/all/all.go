// Package all knows every platform: it is the only importer of all drivers.
package all

import (
	"github.com/novacron/terraform-provider-novacron/internal/backend/libvirtvm"
	"github.com/novacron/terraform-provider-novacron/internal/backend/simvm"
	"github.com/novacron/terraform-provider-novacron/internal/fleet"
)

// Openers returns the platforms of this build by target kind.
func Openers() fleet.Openers {
	return fleet.Openers{"libvirt": libvirtvm.Open, "sim": simvm.Open}
}
