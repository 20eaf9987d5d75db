package network

import (
	"context"
	"fmt"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/novacron/terraform-provider-novacron/internal/change"
	"github.com/novacron/terraform-provider-novacron/internal/fault"
	"github.com/novacron/terraform-provider-novacron/internal/provider/attr"
	"github.com/novacron/terraform-provider-novacron/internal/spec"
)

// planner makes the plan of one network.
type planner struct {
	provider *attr.Provider
	config   model
	plan     model
	state    *model // nil: the network is to be created
	unknown  attr.Unknown
	replaces string // id of the network that this one takes the place of, "" if none
	place    attr.Place
}

// ModifyPlan fills in what is known already and refuses what can be known to be
// wrong.
func (r *Resource) ModifyPlan(ctx context.Context, req resource.ModifyPlanRequest, resp *resource.ModifyPlanResponse) {
	if r.provider == nil || req.Plan.Raw.IsNull() {
		return
	}
	p := planner{provider: r.provider, replaces: attr.Made(ctx, req.Private)}
	if !req.State.Raw.IsNull() {
		p.state = &model{}
		resp.Diagnostics.Append(req.State.Get(ctx, p.state)...)
	}
	resp.Diagnostics.Append(req.Config.Get(ctx, &p.config)...)
	resp.Diagnostics.Append(req.Plan.Get(ctx, &p.plan)...)
	unknown, err := attr.UnknownIn(req.Config.Raw)
	if err != nil {
		attr.Fail(&resp.Diagnostics, "Plan", "Network", err)
	}
	if resp.Diagnostics.HasError() {
		return
	}
	p.unknown = unknown
	resp.RequiresReplace = append(resp.RequiresReplace, p.run(ctx, &resp.Diagnostics)...)
	if !resp.Diagnostics.HasError() {
		resp.Diagnostics.Append(resp.Plan.Set(ctx, &p.plan)...)
	}
}

// run makes the plan and returns the attributes that force a replacement.
func (p *planner) run(ctx context.Context, diags *diag.Diagnostics) path.Paths {
	var replace path.Paths
	where := p.config.Target
	if p.state != nil {
		replace = p.keep()
		if len(replace) == 0 {
			where = p.state.Location
		}
	}
	var err error
	if p.place, err = p.provider.Place(ctx, where); err != nil {
		attr.Fail(diags, "Plan", "Network", err)
		return nil
	}
	want := p.plan.spec()
	problems := want.Validate()
	if p.place.Known() {
		problems = p.place.Backend.CheckNetwork(want)
	}
	attr.Problems(diags, "Network", problems, p.unknown)
	if p.state == nil && !diags.HasError() {
		p.create(ctx, diags)
	}
	return replace
}

// keep takes from the state what the configuration leaves as it is, and returns
// the attributes that make another network of it.
func (p *planner) keep() path.Paths {
	s := p.state
	p.plan.ID, p.plan.Location, p.plan.Bridge = s.ID, s.Location, s.Bridge
	p.plan.Active = types.BoolValue(true)
	if !s.Active.ValueBool() {
		p.plan.Bridge = types.StringUnknown()
	}
	if p.config.Target.IsNull() {
		p.plan.Target = s.Target
	}
	var paths path.Paths
	for _, op := range change.Network(s.spec(), p.plan.spec()).Of(change.Replace) {
		if !p.unknown.Touches(op.Field) {
			paths = append(paths, attr.Path(op.Field))
		}
	}
	if t := p.plan.Target; !t.IsNull() && !t.IsUnknown() && !t.Equal(s.Location) {
		paths = append(paths, path.Root("target"))
	}
	return paths
}

// create fills in what is known of a network that does not exist, and looks
// whether the host has something in its place.
func (p *planner) create(ctx context.Context, diags *diag.Diagnostics) {
	p.plan.Target = p.config.Target
	p.plan.ID, p.plan.Bridge, p.plan.Location = p.plan.identity(p.provider), types.StringUnknown(), types.StringUnknown()
	p.plan.Active = types.BoolValue(true)
	if p.place.Target != "" {
		p.plan.Location = types.StringValue(p.place.Target)
	}
	if p.plan.ID.IsUnknown() || p.place.Target == "" {
		return
	}
	// Two networks of one name and different ranges have different identities
	// and exclude each other all the same.
	name := p.plan.Name.ValueString()
	first := p.provider.Claim(attr.New, "network", p.place.Target, name)
	switch {
	case !first && p.replaces == "":
		attr.Fail(diags, "Plan", "Network", fault.At("name",
			fault.Errorf(fault.Conflict, "another network of this configuration is called %q on target %q too", name, p.place.Target)))
	case p.place.Known():
		p.look(ctx, name, diags)
	}
}

// look compares a network that is to be created with what the host has. A host
// that does not answer is a warning: plans can be made without it.
func (p *planner) look(ctx context.Context, name string, diags *diag.Diagnostics) {
	b, err := p.provider.Connect(ctx, types.StringValue(p.place.Target), diags)
	var info spec.NetworkInfo
	if err == nil {
		info, err = b.FindNetwork(ctx, name)
	}
	switch {
	case attr.Gone(err):
	case err != nil:
		attr.NotLookedAt(diags, err)
	case info.UUID == p.replaces || p.provider.Seen("network", p.place.Target, info.UUID):
	case info.UUID == p.plan.ID.ValueString():
		diags.AddAttributeWarning(path.Root("name"), "Network Will Be Adopted",
			fmt.Sprintf("network %q (%s) is on target %q already and was made by this configuration: an apply was interrupted before it could write its state. It will be taken over.", name, info.UUID, p.place.Target))
	default:
		attr.Taken(diags, "Network", "novacron_network", p.place.Target, name, info.UUID)
	}
}
