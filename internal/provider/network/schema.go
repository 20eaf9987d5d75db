package network

import (
	"github.com/hashicorp/terraform-plugin-framework-validators/stringvalidator"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/booldefault"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/stringdefault"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"

	"github.com/novacron/terraform-provider-novacron/internal/provider/attr"
)

func networkSchema() schema.Schema {
	s := schema.Schema{
		MarkdownDescription: "A virtual network on a host. A network that somebody stopped shows as drift, and the next apply starts it.\n\n" +
			"What a change does is said with each attribute: **replace** means that the network is taken down and made anew, which needs its VMs to be off.",
		Attributes: attr.PlaceAttributes("network"),
	}
	for name, a := range map[string]schema.Attribute{
		"id": schema.StringAttribute{
			Computed:            true,
			MarkdownDescription: "UUID of the network. Known in the plan for what this configuration makes.",
		},
		"name": schema.StringAttribute{
			Required:            true,
			MarkdownDescription: "Name, unique on its target: up to 50 letters, digits, `.`, `_` and `-`. Change: replace.",
		},
		"mode": schema.StringAttribute{
			Optional:            true,
			Computed:            true,
			Default:             stringdefault.StaticString("nat"),
			MarkdownDescription: "`nat` (guests reach the outside through the host's address) or `isolated` (guests reach each other and the host). Default: `nat`. Change: replace.",
		},
		"cidr": schema.StringAttribute{
			Required:            true,
			MarkdownDescription: "IPv4 range of the guests, /8 to /29: `10.20.0.0/24`. The host takes the first address. Change: replace.",
		},
		"dhcp": schema.BoolAttribute{
			Optional:            true,
			Computed:            true,
			Default:             booldefault.StaticBool(true),
			MarkdownDescription: "Whether guests get addresses by DHCP. Default: true. Change: replace.",
		},
		"domain": schema.StringAttribute{
			Optional:            true,
			Validators:          []validator.String{stringvalidator.LengthAtLeast(1)},
			MarkdownDescription: "DNS domain of the guests. Default: none. Change: replace.",
		},
		"bridge": schema.StringAttribute{
			Computed:            true,
			MarkdownDescription: "Interface of the network on its host; empty where there is none.",
		},
		"active": schema.BoolAttribute{
			Computed:            true,
			MarkdownDescription: "Whether the network is up. Every apply brings it up.",
		},
	} {
		s.Attributes[name] = a
	}
	return s
}
