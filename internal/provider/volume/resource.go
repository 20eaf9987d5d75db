// Package volume is the resource novacron_volume.
package volume

import (
	"context"
	"strings"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/novacron/terraform-provider-novacron/internal/fault"
	"github.com/novacron/terraform-provider-novacron/internal/provider/attr"
	"github.com/novacron/terraform-provider-novacron/internal/spec"
)

// How long an operation may take where the configuration does not say.
const (
	createTimeout = time.Hour
	updateTimeout = 10 * time.Minute
	deleteTimeout = 10 * time.Minute
)

// Resource is novacron_volume.
type Resource struct {
	provider *attr.Provider
}

var (
	_ resource.ResourceWithConfigure   = (*Resource)(nil)
	_ resource.ResourceWithModifyPlan  = (*Resource)(nil)
	_ resource.ResourceWithImportState = (*Resource)(nil)
)

// New returns the resource.
func New() resource.Resource { return &Resource{} }

// Metadata names the resource.
func (r *Resource) Metadata(_ context.Context, req resource.MetadataRequest, resp *resource.MetadataResponse) {
	resp.TypeName = req.ProviderTypeName + "_volume"
}

// Schema describes the resource.
func (r *Resource) Schema(ctx context.Context, _ resource.SchemaRequest, resp *resource.SchemaResponse) {
	resp.Schema = volumeSchema()
	resp.Schema.Attributes["timeouts"] = attr.TimeoutAttribute(ctx, "1h", "10m", "10m")
}

// Configure receives the provider.
func (r *Resource) Configure(_ context.Context, req resource.ConfigureRequest, resp *resource.ConfigureResponse) {
	r.provider = attr.Configured(req.ProviderData, &resp.Diagnostics)
}

// Create makes the volume and fills it.
func (r *Resource) Create(ctx context.Context, req resource.CreateRequest, resp *resource.CreateResponse) {
	var plan model
	resp.Diagnostics.Append(req.Plan.Get(ctx, &plan)...)
	limit, d := plan.Timeouts.Create(ctx, createTimeout)
	resp.Diagnostics.Append(d...)
	if resp.Diagnostics.HasError() {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	b, err := r.provider.Connect(ctx, plan.Target, &resp.Diagnostics)
	if err != nil {
		attr.Fail(&resp.Diagnostics, "Create", "Volume", err)
		return
	}
	if plan.Source.IsUnknown() {
		plan.Source = types.ObjectNull(sourceTypes())
	}
	if plan.Pool.IsUnknown() {
		plan.Pool = optional(b.Capabilities().DefaultPool)
	}
	want := plan.spec()
	want.Owner = r.provider.Owner.ValueString()
	want.UUID = plan.identity(r.provider).ValueString()
	info, err := b.CreateVolume(ctx, want)
	if err != nil {
		attr.Fail(&resp.Diagnostics, "Create", "Volume", err)
		return
	}
	attr.Note(ctx, resp.Private, want.UUID, &resp.Diagnostics)
	plan.Location = types.StringValue(b.Name())
	plan.read(ctx, &info)
	resp.Diagnostics.Append(resp.State.Set(ctx, &plan)...)
}

// Read compares the state with the volume as it is. Only the platform's own word
// that there is no such volume removes it.
func (r *Resource) Read(ctx context.Context, req resource.ReadRequest, resp *resource.ReadResponse) {
	var m model
	resp.Diagnostics.Append(req.State.Get(ctx, &m)...)
	if resp.Diagnostics.HasError() {
		return
	}
	place, err := r.provider.Place(ctx, m.Location)
	if err == nil && !place.Known() {
		return // the provider has said so; nothing is assumed
	}
	if err == nil {
		_, err = r.provider.Connect(ctx, m.Location, &resp.Diagnostics)
	}
	if err != nil {
		attr.Fail(&resp.Diagnostics, "Read", "Volume", err)
		return
	}
	info, err := place.Backend.Volume(ctx, m.ID.ValueString())
	if attr.Gone(err) {
		resp.State.RemoveResource(ctx)
		return
	}
	if err != nil {
		attr.Fail(&resp.Diagnostics, "Read", "Volume", err)
		return
	}
	if attr.Made(ctx, req.Private) == "" {
		attr.Note(ctx, resp.Private, info.ID, &resp.Diagnostics) // imported: no identity of ours
	}
	r.provider.See("volume", place.Target, info.ID)
	m.read(ctx, &info)
	resp.Diagnostics.Append(resp.State.Set(ctx, &m)...)
}

// Update grows the volume.
func (r *Resource) Update(ctx context.Context, req resource.UpdateRequest, resp *resource.UpdateResponse) {
	var plan, state model
	resp.Diagnostics.Append(req.Plan.Get(ctx, &plan)...)
	resp.Diagnostics.Append(req.State.Get(ctx, &state)...)
	timeout, d := plan.Timeouts.Update(ctx, updateTimeout)
	resp.Diagnostics.Append(d...)
	if resp.Diagnostics.HasError() {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	b, err := r.provider.Connect(ctx, state.Location, &resp.Diagnostics)
	id := state.ID.ValueString()
	if err == nil && plan.Size.Bytes() > state.Size.Bytes() {
		err = b.GrowVolume(ctx, id, plan.Size.Bytes())
	}
	if err != nil {
		attr.Fail(&resp.Diagnostics, "Update", "Volume", err)
		return
	}
	info, err := b.Volume(ctx, id)
	if err != nil {
		attr.Fail(&resp.Diagnostics, "Update", "Volume", err)
		return
	}
	plan.read(ctx, &info)
	resp.Diagnostics.Append(resp.State.Set(ctx, &plan)...)
}

// Delete removes the volume, unless something needs it.
func (r *Resource) Delete(ctx context.Context, req resource.DeleteRequest, resp *resource.DeleteResponse) {
	var m model
	resp.Diagnostics.Append(req.State.Get(ctx, &m)...)
	timeout, d := m.Timeouts.Delete(ctx, deleteTimeout)
	resp.Diagnostics.Append(d...)
	if resp.Diagnostics.HasError() {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	b, err := r.provider.Connect(ctx, m.Location, &resp.Diagnostics)
	if err == nil {
		err = b.DeleteVolume(ctx, m.ID.ValueString(), attr.Made(ctx, req.Private))
	}
	if err != nil {
		attr.Fail(&resp.Diagnostics, "Delete", "Volume", err)
	}
}

// ImportState finds the volume by NAME (in the default pool), POOL/NAME or
// TARGET/POOL/NAME.
func (r *Resource) ImportState(ctx context.Context, req resource.ImportStateRequest, resp *resource.ImportStateResponse) {
	target, id := types.StringNull(), req.ID
	if strings.Count(id, "/") == 2 {
		name, rest, _ := strings.Cut(id, "/")
		target, id = types.StringValue(name), rest
	}
	b, err := r.provider.Connect(ctx, target, &resp.Diagnostics)
	if err == nil && !strings.Contains(id, "/") {
		id = spec.VolumeID(b.Capabilities().DefaultPool, id)
	}
	if _, _, ok := spec.SplitVolumeID(id); err == nil && !ok {
		err = fault.Errorf(fault.Invalid, "import id %q is not NAME, POOL/NAME or TARGET/POOL/NAME", req.ID)
	}
	if err == nil {
		_, err = b.Volume(ctx, id)
	}
	if err != nil {
		attr.Fail(&resp.Diagnostics, "Import", "Volume", err)
		return
	}
	for name, value := range map[string]string{"id": id, "target": b.Name(), "location": b.Name()} {
		resp.Diagnostics.Append(resp.State.SetAttribute(ctx, path.Root(name), value)...)
	}
}

// optional returns s, with "" as null.
func optional(s string) types.String {
	if s == "" {
		return types.StringNull()
	}
	return types.StringValue(s)
}
