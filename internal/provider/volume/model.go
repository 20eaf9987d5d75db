package volume

import (
	"context"

	"github.com/hashicorp/terraform-plugin-framework-timeouts/resource/timeouts"
	fwattr "github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/novacron/terraform-provider-novacron/internal/provider/attr"
	"github.com/novacron/terraform-provider-novacron/internal/provider/tftype"
	"github.com/novacron/terraform-provider-novacron/internal/spec"
)

// model is the resource as Terraform holds it in a configuration, plan or state.
type model struct {
	ID       types.String   `tfsdk:"id"`
	Name     types.String   `tfsdk:"name"`
	Target   types.String   `tfsdk:"target"`
	Location types.String   `tfsdk:"location"`
	Pool     types.String   `tfsdk:"pool"`
	Size     tftype.Size    `tfsdk:"size"`
	Format   types.String   `tfsdk:"format"`
	Backing  types.String   `tfsdk:"backing"`
	Source   types.Object   `tfsdk:"source"`
	Path     types.String   `tfsdk:"path"`
	Timeouts timeouts.Value `tfsdk:"timeouts"`
}

func sourceTypes() map[string]fwattr.Type {
	return map[string]fwattr.Type{"file": types.StringType}
}

// file returns the path of the source: null when there is none, empty when it is
// not known because the volume was imported.
func (m *model) file() types.String {
	if m.Source.IsUnknown() {
		return types.StringUnknown()
	}
	if s, ok := m.Source.Attributes()["file"].(types.String); ok {
		return s
	}
	return types.StringNull()
}

// spec returns the volume that the model describes. What is not known yet is as
// if it were not set.
func (m *model) spec() spec.Volume {
	v := spec.Volume{
		ID: m.ID.ValueString(), Name: m.Name.ValueString(), Pool: m.Pool.ValueString(), Size: m.Size.Bytes(),
		Format: m.Format.ValueString(), Backing: m.Backing.ValueString(),
	}
	if f := m.file(); !f.IsNull() && !f.IsUnknown() {
		v.Source = &spec.Source{File: f.ValueString()}
	}
	return v
}

// identity returns the identity of the volume: with another pool, format,
// backing or source it is another volume.
func (m *model) identity(p *attr.Provider) types.String {
	return p.Identity("volume", m.Name.ValueString(), m.Pool.ValueString(), m.Format.ValueString(), m.Backing.ValueString(), m.file().ValueString())
}

// read takes over what the platform says.
func (m *model) read(_ context.Context, info *spec.VolumeInfo) {
	if m.Format.IsNull() { // imported: where its contents came from is not known any more
		m.Source = types.ObjectValueMust(sourceTypes(), map[string]fwattr.Value{"file": types.StringValue("")})
	}
	m.ID = types.StringValue(info.ID)
	m.Name = types.StringValue(info.Name)
	m.Pool = types.StringValue(info.Pool)
	m.Size = tftype.NewSize(info.Size)
	m.Format = types.StringValue(info.Format)
	m.Backing = types.StringNull()
	if info.Backing != "" {
		m.Backing = types.StringValue(info.Backing)
	}
	m.Path = types.StringValue(info.Path)
}
