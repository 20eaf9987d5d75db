// Package vm is the resource novacron_vm.
package vm

import (
	"context"
	"strings"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/tfsdk"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/novacron/terraform-provider-novacron/internal/backend"
	"github.com/novacron/terraform-provider-novacron/internal/change"
	"github.com/novacron/terraform-provider-novacron/internal/fault"
	"github.com/novacron/terraform-provider-novacron/internal/provider/attr"
	"github.com/novacron/terraform-provider-novacron/internal/spec"
)

// How long an operation may take where the configuration does not say.
const (
	createTimeout = 20 * time.Minute
	updateTimeout = 20 * time.Minute
	deleteTimeout = 10 * time.Minute
)

// Resource is novacron_vm.
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
	resp.TypeName = req.ProviderTypeName + "_vm"
}

// Schema describes the resource.
func (r *Resource) Schema(ctx context.Context, _ resource.SchemaRequest, resp *resource.SchemaResponse) {
	resp.Schema = vmSchema()
	resp.Schema.Attributes["timeouts"] = attr.TimeoutAttribute(ctx, "20m", "20m", "10m")
}

// Configure receives the provider.
func (r *Resource) Configure(_ context.Context, req resource.ConfigureRequest, resp *resource.ConfigureResponse) {
	r.provider = attr.Configured(req.ProviderData, &resp.Diagnostics)
}

// Create makes the VM and waits until it is ready. Once the VM exists, it is in
// the state: a guest that was started is not lost because it is not ready.
func (r *Resource) Create(ctx context.Context, req resource.CreateRequest, resp *resource.CreateResponse) {
	var plan, config model
	resp.Diagnostics.Append(req.Plan.Get(ctx, &plan)...)
	resp.Diagnostics.Append(req.Config.Get(ctx, &config)...)
	limit, d := plan.Timeouts.Create(ctx, createTimeout)
	resp.Diagnostics.Append(d...)
	if resp.Diagnostics.HasError() {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	b, err := r.provider.Connect(ctx, plan.Target, &resp.Diagnostics)
	if err != nil {
		attr.Fail(&resp.Diagnostics, "Create", "VM", err)
		return
	}
	plan.ID = r.provider.Identity("vm", plan.Name.ValueString())
	plan.Location = types.StringValue(b.Name())
	want := plan.spec(ctx)
	want.Owner = r.provider.Owner.ValueString()
	plan.seed(ctx, &want, nil, &config)
	info, err := b.CreateVM(ctx, want)
	if err != nil {
		attr.Fail(&resp.Diagnostics, "Create", "VM", err)
		return
	}
	attr.Note(ctx, resp.Private, info.UUID, &resp.Diagnostics)
	wait := plan.Ready.IsUnknown()
	r.keep(ctx, plan, info, false, &resp.State, &resp.Diagnostics)
	if wait && !resp.Diagnostics.HasError() {
		r.await(ctx, b, plan, info, "Create", &resp.State, &resp.Diagnostics)
	}
}

// keep writes the VM into the state as it is, with what the plan promised. A
// guest that is still waited for is not ready.
func (r *Resource) keep(ctx context.Context, plan model, info spec.VMInfo, ready bool, state *tfsdk.State, diags *diag.Diagnostics) {
	m := plan
	m.Ready = types.BoolValue(ready)
	diags.Append(m.read(ctx, &info)...)
	m.PowerState = plan.PowerState
	m.LastDisruption = types.StringValue(change.None.String())
	if plan.Ready.IsUnknown() {
		m.Ready = types.BoolValue(ready)
	}
	m.known(&plan)
	diags.Append(state.Set(ctx, &m)...)
}

// await waits until the VM is ready and writes what it is then into the state.
// Ending without being ready is a warning, so that the guest is kept, unless the
// user wants it to fail.
func (r *Resource) await(ctx context.Context, b *backend.Backend, plan model, info spec.VMInfo, verb string, state *tfsdk.State, diags *diag.Diagnostics) {
	w, fail := plan.wait(ctx)
	name := info.Name
	now, ready, why, err := b.WaitVM(ctx, info.UUID, w)
	if now.UUID != "" {
		r.keep(ctx, plan, now, ready, state, diags)
	}
	if ready {
		return
	}
	if err == nil {
		err = fault.Errorf(fault.Unavailable, "VM %q on target %q is not ready after %s: %s", name, b.Name(), w.Timeout, why)
	}
	if fail && fault.KindOf(err) != fault.Canceled {
		attr.Fail(diags, verb, "VM", fault.At("wait_for", err))
		return
	}
	attr.Warn(diags, "VM Not Ready", fault.At("wait_for", fault.WithHint(err, "the VM is kept and the next apply waits again")))
}

// Read compares the state with the VM as it is. Only the platform's own word
// that there is no such VM removes it.
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
	var b *backend.Backend
	if err == nil {
		b, err = r.provider.Connect(ctx, m.Location, &resp.Diagnostics)
	}
	if err != nil {
		attr.Fail(&resp.Diagnostics, "Read", "VM", err)
		return
	}
	info, err := b.VM(ctx, m.ID.ValueString())
	if attr.Gone(err) {
		resp.State.RemoveResource(ctx)
		return
	}
	if err != nil {
		attr.Fail(&resp.Diagnostics, "Read", "VM", err)
		return
	}
	attr.Note(ctx, resp.Private, info.UUID, &resp.Diagnostics)
	r.provider.See("VM", b.Name(), info.UUID)
	resp.Diagnostics.Append(m.read(ctx, &info)...)
	resp.Diagnostics.Append(resp.State.Set(ctx, &m)...)
}

// Update changes the VM in place, never further than the plan said.
func (r *Resource) Update(ctx context.Context, req resource.UpdateRequest, resp *resource.UpdateResponse) {
	var plan, state, config model
	resp.Diagnostics.Append(req.Plan.Get(ctx, &plan)...)
	resp.Diagnostics.Append(req.State.Get(ctx, &state)...)
	resp.Diagnostics.Append(req.Config.Get(ctx, &config)...)
	timeout, d := plan.Timeouts.Update(ctx, updateTimeout)
	resp.Diagnostics.Append(d...)
	if resp.Diagnostics.HasError() {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	b, err := r.provider.Connect(ctx, state.Location, &resp.Diagnostics)
	if err != nil {
		attr.Fail(&resp.Diagnostics, "Update", "VM", err)
		return
	}
	info, done, err := r.change(ctx, b, &plan, &state, &config)
	if err != nil {
		attr.Fail(&resp.Diagnostics, "Update", "VM", err)
		return
	}
	if plan.LastDisruption.IsUnknown() {
		plan.LastDisruption = types.StringValue(done.String())
	}
	r.keep(ctx, plan, info, !plan.Ready.IsUnknown(), &resp.State, &resp.Diagnostics)
	if plan.Ready.IsUnknown() && plan.PowerState.ValueString() == string(spec.Running) {
		r.await(ctx, b, plan, info, "Update", &resp.State, &resp.Diagnostics)
	}
}

// change brings the VM from state to plan. A difference that nobody planned is
// left to the next plan.
func (r *Resource) change(ctx context.Context, b *backend.Backend, plan, state, config *model) (spec.VMInfo, change.Class, error) {
	p := planner{provider: r.provider, plan: *plan, state: state, config: *config, place: attr.Place{Target: b.Name(), Backend: b}}
	p.want = plan.spec(ctx)
	p.want.Owner = r.provider.Owner.ValueString()
	plan.seed(ctx, &p.want, state, config)
	var unheard diag.Diagnostics // whatever keeps the VM from being read fails the update as well
	p.present(ctx, &unheard)
	planned := p.changes()
	if planned.Empty() && !plan.LastDisruption.IsUnknown() {
		info, err := b.VM(ctx, p.want.UUID)
		if err != nil || !info.Transient {
			return info, change.None, err
		}
	}
	allowed := plan.limit(ctx)
	limit := allowed
	if !plan.LastDisruption.IsUnknown() {
		limit = min(allowed, planned.Class())
	}
	info, done, err := b.UpdateVM(ctx, p.want, limit, plan.off(ctx))
	if fault.KindOf(err) == fault.Denied && done.Class() > limit && limit < allowed {
		err = fault.WithHint(err, "the VM has changed since the plan was made (%s): plan again", reasons(done, done.Class()))
	}
	return info, done.Class(), err
}

// Delete shuts the guest down and removes the VM with what it owns.
func (r *Resource) Delete(ctx context.Context, req resource.DeleteRequest, resp *resource.DeleteResponse) {
	var m model
	resp.Diagnostics.Append(req.State.Get(ctx, &m)...)
	timeout, d := m.Timeouts.Delete(ctx, deleteTimeout)
	resp.Diagnostics.Append(d...)
	protect(&m, "destroy", &resp.Diagnostics)
	if resp.Diagnostics.HasError() {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	b, err := r.provider.Connect(ctx, m.Location, &resp.Diagnostics)
	if err == nil {
		err = b.DeleteVM(ctx, m.ID.ValueString(), m.off(ctx))
	}
	if err != nil {
		attr.Fail(&resp.Diagnostics, "Delete", "VM", err)
	}
}

// ImportState finds the VM by UUID, name, TARGET/UUID or TARGET/NAME.
func (r *Resource) ImportState(ctx context.Context, req resource.ImportStateRequest, resp *resource.ImportStateResponse) {
	target, ref, err := attr.ImportID(req.ID)
	var b *backend.Backend
	if err == nil {
		b, err = r.provider.Connect(ctx, target, &resp.Diagnostics)
	}
	if err != nil {
		attr.Fail(&resp.Diagnostics, "Import", "VM", err)
		return
	}
	var info spec.VMInfo
	if attr.IsUUID(ref) {
		info, err = b.VM(ctx, strings.ToLower(ref))
	} else {
		info, err = b.FindVM(ctx, ref)
	}
	if err != nil {
		attr.Fail(&resp.Diagnostics, "Import", "VM", err)
		return
	}
	if info.Transient {
		attr.Fail(&resp.Diagnostics, "Import", "VM", fault.WithHint(
			fault.Errorf(fault.Unsupported, "VM %q on target %q is transient: it is gone once it stops", info.Name, b.Name()), "make it persistent first (virsh define)"))
		return
	}
	for name, value := range map[string]string{"id": info.UUID, "name": info.Name, "target": b.Name(), "location": b.Name()} {
		resp.Diagnostics.Append(resp.State.SetAttribute(ctx, path.Root(name), value)...)
	}
}
