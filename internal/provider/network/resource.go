// Package network is the resource novacron_network.
package network

import (
	"context"
	"strings"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/novacron/terraform-provider-novacron/internal/backend"
	"github.com/novacron/terraform-provider-novacron/internal/provider/attr"
	"github.com/novacron/terraform-provider-novacron/internal/spec"
)

// standardTimeout is how long an operation may take where the configuration does
// not say.
const standardTimeout = 5 * time.Minute

// Resource is novacron_network.
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
	resp.TypeName = req.ProviderTypeName + "_network"
}

// Schema describes the resource.
func (r *Resource) Schema(ctx context.Context, _ resource.SchemaRequest, resp *resource.SchemaResponse) {
	resp.Schema = networkSchema()
	resp.Schema.Attributes["timeouts"] = attr.TimeoutAttribute(ctx, "5m", "5m", "5m")
}

// Configure receives the provider.
func (r *Resource) Configure(_ context.Context, req resource.ConfigureRequest, resp *resource.ConfigureResponse) {
	r.provider = attr.Configured(req.ProviderData, &resp.Diagnostics)
}

// Create makes the network and starts it.
func (r *Resource) Create(ctx context.Context, req resource.CreateRequest, resp *resource.CreateResponse) {
	var plan model
	resp.Diagnostics.Append(req.Plan.Get(ctx, &plan)...)
	limit, d := plan.Timeouts.Create(ctx, standardTimeout)
	resp.Diagnostics.Append(d...)
	if resp.Diagnostics.HasError() {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	b, err := r.provider.Connect(ctx, plan.Target, &resp.Diagnostics)
	if err != nil {
		attr.Fail(&resp.Diagnostics, "Create", "Network", err)
		return
	}
	plan.ID = plan.identity(r.provider)
	want := plan.spec()
	want.Owner = r.provider.Owner.ValueString()
	info, err := b.CreateNetwork(ctx, want)
	if err != nil {
		attr.Fail(&resp.Diagnostics, "Create", "Network", err)
		return
	}
	attr.Note(ctx, resp.Private, info.UUID, &resp.Diagnostics)
	plan.Location = types.StringValue(b.Name())
	plan.read(&info)
	resp.Diagnostics.Append(resp.State.Set(ctx, &plan)...)
}

// Read compares the state with the network as it is. Only the platform's own
// word that there is no such network removes it.
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
		attr.Fail(&resp.Diagnostics, "Read", "Network", err)
		return
	}
	info, err := place.Backend.Network(ctx, m.ID.ValueString())
	if attr.Gone(err) {
		resp.State.RemoveResource(ctx)
		return
	}
	if err != nil {
		attr.Fail(&resp.Diagnostics, "Read", "Network", err)
		return
	}
	attr.Note(ctx, resp.Private, info.UUID, &resp.Diagnostics)
	r.provider.See("network", place.Target, info.UUID)
	m.read(&info)
	resp.Diagnostics.Append(resp.State.Set(ctx, &m)...)
}

// Update starts a network that was stopped: everything else is a replacement.
func (r *Resource) Update(ctx context.Context, req resource.UpdateRequest, resp *resource.UpdateResponse) {
	var plan, state model
	resp.Diagnostics.Append(req.Plan.Get(ctx, &plan)...)
	resp.Diagnostics.Append(req.State.Get(ctx, &state)...)
	timeout, d := plan.Timeouts.Update(ctx, standardTimeout)
	resp.Diagnostics.Append(d...)
	if resp.Diagnostics.HasError() {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	b, err := r.provider.Connect(ctx, state.Location, &resp.Diagnostics)
	if err != nil {
		attr.Fail(&resp.Diagnostics, "Update", "Network", err)
		return
	}
	info, err := b.Network(ctx, state.ID.ValueString())
	if err == nil && !info.Active {
		info, err = b.StartNetwork(ctx, info.Network)
	}
	if err != nil {
		attr.Fail(&resp.Diagnostics, "Update", "Network", err)
		return
	}
	plan.read(&info)
	resp.Diagnostics.Append(resp.State.Set(ctx, &plan)...)
}

// Delete stops and removes the network.
func (r *Resource) Delete(ctx context.Context, req resource.DeleteRequest, resp *resource.DeleteResponse) {
	var m model
	resp.Diagnostics.Append(req.State.Get(ctx, &m)...)
	timeout, d := m.Timeouts.Delete(ctx, standardTimeout)
	resp.Diagnostics.Append(d...)
	if resp.Diagnostics.HasError() {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	b, err := r.provider.Connect(ctx, m.Location, &resp.Diagnostics)
	if err == nil {
		err = b.DeleteNetwork(ctx, m.ID.ValueString())
	}
	if err != nil {
		attr.Fail(&resp.Diagnostics, "Delete", "Network", err)
	}
}

// ImportState finds the network by UUID, name, TARGET/UUID or TARGET/NAME.
func (r *Resource) ImportState(ctx context.Context, req resource.ImportStateRequest, resp *resource.ImportStateResponse) {
	target, ref, err := attr.ImportID(req.ID)
	var b *backend.Backend
	if err == nil {
		b, err = r.provider.Connect(ctx, target, &resp.Diagnostics)
	}
	var info spec.NetworkInfo
	switch {
	case err != nil:
	case attr.IsUUID(ref):
		info, err = b.Network(ctx, strings.ToLower(ref))
	default:
		info, err = b.FindNetwork(ctx, ref)
	}
	if err != nil {
		attr.Fail(&resp.Diagnostics, "Import", "Network", err)
		return
	}
	for name, value := range map[string]string{"id": info.UUID, "target": b.Name(), "location": b.Name()} {
		resp.Diagnostics.Append(resp.State.SetAttribute(ctx, path.Root(name), value)...)
	}
}
