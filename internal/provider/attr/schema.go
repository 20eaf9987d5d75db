package attr

import (
	"context"

	"github.com/hashicorp/terraform-plugin-framework-timeouts/resource/timeouts"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
)

// TimeoutAttribute returns the attribute that limits how long operations take.
// Each argument is the default of one.
func TimeoutAttribute(ctx context.Context, create, update, del string) schema.Attribute {
	says := func(operation, standard string) string {
		return "How long " + operation + " may take, with a unit. Default: `" + standard + "`."
	}
	a := timeouts.Attributes(ctx, timeouts.Opts{
		Create: true, Update: true, Delete: true,
		CreateDescription: says("creating", create), UpdateDescription: says("an update", update), DeleteDescription: says("destroying", del),
	})
	if nested, ok := a.(schema.SingleNestedAttribute); ok {
		nested.MarkdownDescription = "How long operations may take. Default: as said below. Change: none."
		return nested
	}
	return a
}

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
