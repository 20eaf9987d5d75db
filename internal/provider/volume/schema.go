package volume

import (
	"github.com/hashicorp/terraform-plugin-framework-validators/stringvalidator"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/stringdefault"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"

	"github.com/novacron/terraform-provider-novacron/internal/provider/attr"
	"github.com/novacron/terraform-provider-novacron/internal/provider/tftype"
)

func volumeSchema() schema.Schema {
	s := schema.Schema{
		MarkdownDescription: "A disk image in a storage pool.\n\n" +
			"What a change does is said with each attribute: **live** (in place, in use or not) or **replace** (the volume and what is on it are destroyed).",
		Attributes: attr.PlaceAttributes("volume"),
	}
	notEmpty := []validator.String{stringvalidator.LengthAtLeast(1)}
	for name, a := range map[string]schema.Attribute{
		"id": schema.StringAttribute{
			Computed:            true,
			MarkdownDescription: "`pool/name`: what `disks` of VMs and `backing` of volumes refer to.",
		},
		"name": schema.StringAttribute{
			Required:            true,
			MarkdownDescription: "Name, unique in its pool: up to 127 letters, digits, `.`, `_` and `-`. Change: replace.",
		},
		"pool": schema.StringAttribute{
			Optional:            true,
			Computed:            true,
			Validators:          notEmpty,
			MarkdownDescription: "Storage pool. Default: the target's. Change: replace.",
		},
		"size": schema.StringAttribute{
			Optional:            true,
			Computed:            true,
			CustomType:          tftype.SizeType{},
			MarkdownDescription: "Virtual size, with a unit: `20GiB`. Default: as large as `source` or `backing`; an empty volume needs one. Growing: live. Shrinking is refused.",
		},
		"format": schema.StringAttribute{
			Optional:            true,
			Computed:            true,
			Default:             stringdefault.StaticString("qcow2"),
			MarkdownDescription: "`qcow2` or `raw`. Default: `qcow2`. Change: replace.",
		},
		"backing": schema.StringAttribute{
			Optional:            true,
			Validators:          notEmpty,
			MarkdownDescription: "Id of the volume that this one is an overlay of, `pool/name`. Default: none. Change: replace.",
		},
		"source": schema.SingleNestedAttribute{
			Optional:            true,
			Computed:            true,
			MarkdownDescription: "Where the first contents come from. It is read once, when the volume is made. Default: none, the volume is empty. An imported volume is never replaced because of it.",
			Attributes: map[string]schema.Attribute{
				"file": schema.StringAttribute{
					Required:            true,
					MarkdownDescription: "Path of a disk image on the machine that runs Terraform. Change of the path: replace; a change of the file itself is not noticed.",
				},
			},
		},
		"path": schema.StringAttribute{
			Computed:            true,
			MarkdownDescription: "Path of the volume on its host.",
		},
	} {
		s.Attributes[name] = a
	}
	return s
}
