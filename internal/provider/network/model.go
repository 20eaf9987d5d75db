package network

import (
	"net/netip"
	"strconv"

	"github.com/hashicorp/terraform-plugin-framework-timeouts/resource/timeouts"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/novacron/terraform-provider-novacron/internal/provider/attr"
	"github.com/novacron/terraform-provider-novacron/internal/spec"
)

// model is the resource as Terraform holds it in a configuration, plan or state.
type model struct {
	ID       types.String   `tfsdk:"id"`
	Name     types.String   `tfsdk:"name"`
	Target   types.String   `tfsdk:"target"`
	Location types.String   `tfsdk:"location"`
	Mode     types.String   `tfsdk:"mode"`
	CIDR     types.String   `tfsdk:"cidr"`
	DHCP     types.Bool     `tfsdk:"dhcp"`
	Domain   types.String   `tfsdk:"domain"`
	Bridge   types.String   `tfsdk:"bridge"`
	Active   types.Bool     `tfsdk:"active"`
	Timeouts timeouts.Value `tfsdk:"timeouts"`
}

// spec returns the network that the model describes. What is not known yet, and
// a range that is none, is as if it were not set.
func (m *model) spec() spec.Network {
	cidr, err := netip.ParsePrefix(m.CIDR.ValueString())
	if err != nil {
		cidr = netip.Prefix{}
	}
	return spec.Network{
		UUID: m.ID.ValueString(), Name: m.Name.ValueString(), Mode: m.Mode.ValueString(),
		CIDR: cidr, DHCP: m.DHCP.ValueBool(), Domain: m.Domain.ValueString(),
	}
}

// identity returns the identity of the network: with another mode, range, DHCP or
// domain it is another network. It is unknown as long as one of those is.
func (m *model) identity(p *attr.Provider) types.String {
	if m.Name.IsUnknown() || m.Mode.IsUnknown() || m.CIDR.IsUnknown() || m.DHCP.IsUnknown() || m.Domain.IsUnknown() {
		return types.StringUnknown()
	}
	return p.Identity("network", m.Name.ValueString(), m.Mode.ValueString(), m.CIDR.ValueString(), strconv.FormatBool(m.DHCP.ValueBool()), m.Domain.ValueString())
}

// read takes over what the platform says.
func (m *model) read(info *spec.NetworkInfo) {
	m.ID = types.StringValue(info.UUID)
	m.Name = types.StringValue(info.Name)
	m.Mode = types.StringValue(info.Mode)
	m.CIDR = types.StringNull()
	if info.CIDR.IsValid() {
		m.CIDR = types.StringValue(info.CIDR.String())
	}
	m.DHCP = types.BoolValue(info.DHCP)
	m.Domain = types.StringNull()
	if info.Domain != "" {
		m.Domain = types.StringValue(info.Domain)
	}
	m.Bridge = types.StringValue(info.Bridge)
	m.Active = types.BoolValue(info.Active)
}
