package vm

import (
	"context"
	"fmt"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/novacron/terraform-provider-novacron/internal/change"
	"github.com/novacron/terraform-provider-novacron/internal/fault"
	"github.com/novacron/terraform-provider-novacron/internal/provider/attr"
	"github.com/novacron/terraform-provider-novacron/internal/spec"
)

// planner makes the plan of one VM.
type planner struct {
	provider *attr.Provider
	config   model
	plan     model
	state    *model // nil: the VM is to be created
	unknown  attr.Unknown
	replaces string // id of the VM that this one takes the place of, "" if none
	place    attr.Place
	have     spec.VM // as far as state and host tell
	vague    bool    // have lacks what the plan begins to manage
	want     spec.VM
	ops      change.Plan
}

// ModifyPlan fills in what is known already, refuses what can be known to be
// wrong, and says what the change will do to the guest.
func (r *Resource) ModifyPlan(ctx context.Context, req resource.ModifyPlanRequest, resp *resource.ModifyPlanResponse) {
	if r.provider == nil {
		return
	}
	var state *model
	if !req.State.Raw.IsNull() {
		state = &model{}
		resp.Diagnostics.Append(req.State.Get(ctx, state)...)
	}
	if req.Plan.Raw.IsNull() {
		protect(state, "destroy", &resp.Diagnostics)
		return
	}
	p := planner{provider: r.provider, state: state, replaces: attr.Made(ctx, req.Private)}
	resp.Diagnostics.Append(req.Config.Get(ctx, &p.config)...)
	resp.Diagnostics.Append(req.Plan.Get(ctx, &p.plan)...)
	unknown, err := attr.UnknownIn(req.Config.Raw)
	if err != nil {
		attr.Fail(&resp.Diagnostics, "Plan", "VM", err)
	}
	if resp.Diagnostics.HasError() {
		return
	}
	p.unknown = unknown
	resp.RequiresReplace = append(resp.RequiresReplace, p.run(ctx, &resp.Diagnostics)...)
	if resp.Diagnostics.HasError() {
		return
	}
	resp.Diagnostics.Append(resp.Plan.Set(ctx, &p.plan)...)
}

// run makes the plan and returns the attributes that force a replacement.
func (p *planner) run(ctx context.Context, diags *diag.Diagnostics) path.Paths {
	var err error
	if p.place, err = p.settle(ctx); err != nil {
		attr.Fail(diags, "Plan", "VM", err)
		return nil
	}
	p.disks(ctx, diags)
	p.nics(ctx, diags)
	if p.state != nil {
		p.plan.keepImported(ctx, p.state, &p.config)
	}
	p.want = p.plan.spec(ctx)
	p.plan.seed(ctx, &p.want, p.state, &p.config)
	p.check(ctx, diags)
	if diags.HasError() {
		return nil
	}
	p.plan.SeedDigest = p.plan.seedDigest(ctx, &p.want, p.state, &p.config, p.unknown)
	if p.state == nil {
		p.create(ctx, diags)
		return nil
	}
	p.present(ctx, diags)
	p.update()
	p.judge(ctx, diags)
	var replace path.Paths
	for _, op := range p.ops.Of(change.Replace) {
		replace = append(replace, attr.Path(op.Field))
	}
	return replace
}

// settle fills in identity and place, and returns the place.
func (p *planner) settle(ctx context.Context) (attr.Place, error) {
	if p.state != nil {
		p.plan.ID, p.plan.Location = p.state.ID, p.state.Location
		if p.config.Target.IsNull() {
			p.plan.Target = p.state.Target
		}
		if p.plan.Memory.Same(p.state.Memory) {
			p.plan.Memory = p.state.Memory
		}
		if !p.provider.Claim(attr.Held, "VM", p.state.Location.ValueString(), p.state.ID.ValueString()) {
			return attr.Place{}, p.twice(p.state.Name.ValueString(), p.state.Location.ValueString())
		}
		return p.provider.Place(ctx, p.state.Location)
	}
	p.plan.Target = p.config.Target
	place, err := p.provider.Place(ctx, p.plan.Target)
	if err != nil {
		return place, err
	}
	p.plan.ID, p.plan.Location = types.StringUnknown(), types.StringUnknown()
	if !p.plan.Name.IsUnknown() {
		p.plan.ID = p.provider.Identity("vm", p.plan.Name.ValueString())
	}
	if place.Target != "" {
		p.plan.Location = types.StringValue(place.Target)
	}
	return place, nil
}

// check adds what is wrong with the VM itself.
func (p *planner) check(ctx context.Context, diags *diag.Diagnostics) {
	problems := p.want.Validate()
	if p.place.Known() {
		problems = p.place.Backend.CheckVM(p.want)
	}
	attr.Problems(diags, "VM", problems, p.unknown)
	if p.state == nil && p.place.Known() && !diags.HasError() {
		attr.Problems(diags, "VM", p.place.Backend.PrecheckVM(p.want), p.unknown)
	}
	if p.unknown.Touches("nics") || p.unknown.Touches("wait_for") || p.plan.NICs.IsNull() {
		return
	}
	w, _ := p.plan.wait(ctx)
	if _, ok := p.want.NICs[w.IP]; w.IP != "" && !ok {
		attr.Refuse(diags, path.Root("wait_for").AtName("ip").AtName("nic"), "Invalid VM",
			fmt.Sprintf("there is no interface %q in nics (there is: %s)", w.IP, strings.Join(keys(p.want.NICs), ", ")))
	}
	if w.TCP != 0 && w.IP == "" && !reachable(p.want.NICs, w.TCP) {
		attr.Refuse(diags, path.Root("wait_for").AtName("tcp"), "Invalid VM",
			fmt.Sprintf("nothing leads to port %d of the guest: put an interface on a network, or forward a port of the host to it", w.TCP))
	}
}

// reachable reports whether the port of a guest with the interfaces can be
// reached at all.
func reachable(nics map[string]spec.NIC, port uint16) bool {
	for _, n := range nics {
		if n.Network != "" {
			return true
		}
		for _, guest := range n.Forward {
			if guest == port {
				return true
			}
		}
	}
	return false
}

// create fills in what is known of a VM that does not exist, and looks whether
// the host has something in its place.
func (p *planner) create(ctx context.Context, diags *diag.Diagnostics) {
	p.plan.Status = p.plan.PowerState
	p.plan.Ready = p.ready()
	p.plan.IP, p.plan.Addresses = types.StringUnknown(), types.MapUnknown(addressesType)
	p.plan.LastDisruption = types.StringValue(change.None.String())
	p.plan.UnmanagedDevices = types.ListUnknown(types.StringType)
	id := p.plan.ID.ValueString()
	if p.plan.ID.IsUnknown() || p.plan.Location.IsUnknown() {
		return
	}
	first := p.provider.Claim(attr.New, "VM", p.place.Target, id)
	replaced := p.replaces == id || p.provider.Seen("VM", p.place.Target, id)
	switch {
	case !first && p.replaces != id:
		attr.Fail(diags, "Plan", "VM", p.twice(p.want.Name, p.place.Target))
	case p.place.Known() && !replaced:
		p.look(ctx, diags)
	}
}

// twice is the error of two resources that are the same VM.
func (p *planner) twice(name, target string) error {
	return fault.At("name", fault.Errorf(fault.Conflict, "another VM of this configuration is called %q on target %q too", name, target))
}

// look compares a VM that is to be created with what the host has. A host that
// does not answer is a warning: plans can be made without it.
func (p *planner) look(ctx context.Context, diags *diag.Diagnostics) {
	b, err := p.provider.Connect(ctx, types.StringValue(p.place.Target), diags)
	if err == nil {
		_, err = b.VM(ctx, p.want.UUID)
	}
	if err == nil {
		diags.AddAttributeWarning(path.Root("name"), "VM Will Be Adopted",
			fmt.Sprintf("VM %q (%s) is on target %q already and was made by this configuration: an apply was interrupted before it could write its state. It will be completed and brought to this configuration, with a restart where that needs one, and taken over.", p.want.Name, p.want.UUID, p.place.Target))
		return
	}
	if attr.Gone(err) {
		var other spec.VMInfo
		other, err = b.FindVM(ctx, p.want.Name)
		if err == nil && other.UUID != p.replaces {
			attr.Taken(diags, "VM", "novacron_vm", p.place.Target, p.want.Name, other.UUID)
		}
	}
	if err != nil && !attr.Gone(err) {
		attr.NotLookedAt(diags, err)
	}
}

// update fills in what a change of an existing VM leaves as it is, and what it
// makes unknown.
func (p *planner) update() {
	s := p.state
	p.plan.Status, p.plan.Ready, p.plan.IP, p.plan.Addresses = s.Status, s.Ready, s.IP, s.Addresses
	p.plan.LastDisruption, p.plan.UnmanagedDevices = s.LastDisruption, s.UnmanagedDevices
	p.ops = p.changes()
	unsure := p.unsure()
	switch {
	case unsure:
		p.plan.LastDisruption = types.StringUnknown()
	case !p.ops.Empty():
		p.plan.LastDisruption = types.StringValue(min(p.ops.Class(), change.Reboot).String())
	}
	power := unsure || p.ops.Changes("power_state")
	if power || s.Status.ValueString() == transient {
		p.plan.Status = p.plan.PowerState
	}
	restarted := power || p.ops.Class() >= change.Reboot
	waits := restarted || !p.plan.WaitFor.Equal(s.WaitFor) || !s.Ready.ValueBool() && p.plan.PowerState.ValueString() == string(spec.Running)
	if waits {
		p.plan.Ready = p.ready()
	}
	if restarted || p.plan.Ready.IsUnknown() || p.ops.Changes("nics") {
		p.plan.IP, p.plan.Addresses = types.StringUnknown(), types.MapUnknown(addressesType)
	}
}

// ready returns what a plan can promise of a guest that is to be waited for.
func (p *planner) ready() types.Bool {
	switch {
	case p.plan.PowerState.IsUnknown() || !p.plan.WaitFor.IsNull() && p.plan.PowerState.ValueString() == string(spec.Running):
		return types.BoolUnknown()
	default:
		return types.BoolValue(p.plan.PowerState.ValueString() == string(spec.Running))
	}
}

// present fills in the VM as it is. The state knows all that was managed so far;
// what the plan begins to manage only the host can tell.
func (p *planner) present(ctx context.Context, diags *diag.Diagnostics) {
	p.have = p.state.spec(ctx)
	if d := p.state.SeedDigest.ValueString(); d != "" {
		p.have.CloudInit = &spec.CloudInit{Digest: d}
	}
	labels := p.have.Labels == nil && p.want.Labels != nil
	disks := p.have.Disks == nil && p.want.Disks != nil
	nics := p.have.NICs == nil && p.want.NICs != nil
	if !labels && !disks && !nics {
		return
	}
	p.vague = true
	if !p.place.Known() {
		return
	}
	b, err := p.provider.Connect(ctx, p.state.Location, diags)
	var info spec.VMInfo
	if err == nil {
		info, err = b.VM(ctx, p.have.UUID)
	}
	if err != nil {
		attr.NotLookedAt(diags, err)
		return
	}
	p.vague = false
	if labels {
		p.have.Labels = info.Labels
	}
	if disks {
		p.have.Disks = info.Disks
	}
	if nics {
		p.have.NICs = info.NICs
	}
}

// changes returns the differences to the VM as it is, as far as they are known.
func (p *planner) changes() change.Plan {
	var ops change.Plan
	for _, op := range change.VM(p.have, p.want).Ops {
		if !p.unknown.Touches(op.Field) && !(op.Field == "cloud_init" && p.plan.SeedDigest.IsUnknown() && p.unknown.Touches("ssh_keys")) {
			ops.Ops = append(ops.Ops, op)
		}
	}
	if t := p.plan.Target; !t.IsNull() && !t.IsUnknown() && t.ValueString() != p.state.Location.ValueString() {
		ops.Ops = append(ops.Ops, change.Op{Class: change.Replace, Field: "target", Why: "the VM is made anew on the other target"})
	}
	return ops
}

// unsure reports whether something is unknown that may change what the guest
// notices.
func (p *planner) unsure() bool {
	if p.vague {
		return true
	}
	for _, field := range []string{"name", "target", "cpus", "memory", "kernel", "initrd", "cmdline", "disks", "nics", "cloud_init", "ssh_keys", "power_state"} {
		if p.unknown.Touches(field) {
			return true
		}
	}
	return false
}

// judge refuses changes that go too far, and warns of what is lost and what the
// guest will suffer.
func (p *planner) judge(ctx context.Context, diags *diag.Diagnostics) {
	class := p.ops.Class()
	limit := p.plan.limit(ctx)
	if class > limit {
		attr.Refuse(diags, path.Root("update_policy").AtName("max_disruption"), "Change Refused",
			fmt.Sprintf("VM %q: the change is of class %s, and at most %s is allowed: %s", p.want.Name, class, limit, reasons(p.ops, class)))
		return
	}
	if class == change.Replace {
		protect(p.state, "replace", diags)
	} else {
		p.lost(diags)
	}
	if status := spec.Power(p.state.Status.ValueString()); class < change.Reboot || status != spec.Running && status != spec.Paused && status != transient {
		return
	}
	of := p.ops.Of(class)
	if len(of) == 1 && of[0].Field == "power_state" {
		return // that is what the user asked for
	}
	summary := "VM Will Be Rebooted"
	if class == change.Replace {
		summary = "VM Will Be Destroyed and Made Anew"
	}
	diags.AddWarning(summary, fmt.Sprintf("VM %q on target %q runs. %s", p.want.Name, p.state.Location.ValueString(), reasons(p.ops, class)))
}

// reasons names the attributes whose change is of the class, and why.
func reasons(ops change.Plan, class change.Class) string {
	var all []string
	for _, op := range ops.Of(class) {
		s := op.Field
		if op.Why != "" {
			s += " (" + op.Why + ")"
		}
		all = append(all, s)
	}
	return strings.Join(all, ", ")
}

// protect refuses to lose a VM that is protected, or what is on its own disks.
func protect(state *model, verb string, diags *diag.Diagnostics) {
	if state == nil || !state.DeletionProtection.ValueBool() {
		return
	}
	attr.Refuse(diags, path.Root("deletion_protection"), "VM Is Protected",
		fmt.Sprintf("VM %q on target %q: deletion_protection is true, so no plan may %s it\nto lift the protection, apply deletion_protection = false first",
			state.Name.ValueString(), state.Location.ValueString(), verb))
}
