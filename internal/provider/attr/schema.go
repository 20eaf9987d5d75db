package attr

import (
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
)

// PlaceAttributes returns the attributes that say where an object is wanted and
// where it is.
func PlaceAttributes(noun string) map[string]schema.Attribute {
	return map[string]schema.Attribute{
		"target": schema.StringAttribute{
			Optional: true,
			Computed: true,
			MarkdownDescription: "Target that the " + noun + " is to be on. Default: the provider's default target when it is made; after that, wherever it is. " +
				"Change to another place than `location`: replace.",
		},
		"location": schema.StringAttribute{
			Computed:            true,
			MarkdownDescription: "Target that the " + noun + " is on.",
		},
	}
}
