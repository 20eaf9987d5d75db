package volume

import (
	"context"
	"fmt"
	"os"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/novacron/terraform-provider-novacron/internal/change"
	"github.com/novacron/terraform-provider-novacron/internal/fault"
	"github.com/novacron/terraform-provider-novacron/internal/provider/attr"
	"github.com/novacron/terraform-provider-novacron/internal/provider/tftype"
	"github.com/novacron/terraform-provider-novacron/internal/spec"
)

// planner makes the plan of one volume.
type planner struct {
	provider *attr.Provider
	config   model
	plan     model
	state    *model // nil: the volume is to be created
	unknown  attr.Unknown
	replaces string // identity of the volume that this one takes the place of, "" if none
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
		attr.Fail(&resp.Diagnostics, "Plan", "Volume", err)
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
	if p.state != nil {
		p.keep()
		replace = p.replacements()
	}
	var err error
	where := p.config.Target
	if p.state != nil && len(replace) == 0 {
		where = p.state.Location
	}
	if p.place, err = p.provider.Place(ctx, where); err != nil {
		attr.Fail(diags, "Plan", "Volume", err)
		return nil
	}
	if p.state == nil {
		p.create()
	}
	p.check(diags)
	if p.state == nil && !diags.HasError() {
		p.look(ctx, diags)
	}
	return replace
}

// keep takes from the state what the configuration leaves as it is.
func (p *planner) keep() {
	s := p.state
	p.plan.ID, p.plan.Location, p.plan.Path = s.ID, s.Location, s.Path
	if p.config.Target.IsNull() {
		p.plan.Target = s.Target
	}
	if p.config.Pool.IsNull() {
		p.plan.Pool = s.Pool
	}
	if p.config.Size.IsNull() || p.plan.Size.Same(s.Size) {
		p.plan.Size = s.Size
	}
	imported := s.file().ValueString() == "" && !s.file().IsNull()
	if p.config.Source.IsNull() || imported && !p.config.Source.IsUnknown() {
		p.plan.Source = s.Source
	}
}

// replacements returns the attributes that make another volume of it.
func (p *planner) replacements() path.Paths {
	var paths path.Paths
	for _, op := range change.Volume(p.state.spec(), p.plan.spec()).Of(change.Replace) {
		if !p.unknown.Touches(op.Field) {
			paths = append(paths, attr.Path(op.Field))
		}
	}
	if t := p.plan.Target; !t.IsNull() && !t.IsUnknown() && !t.Equal(p.state.Location) {
		paths = append(paths, path.Root("target"))
	}
	if f := p.plan.file(); !f.IsUnknown() && !f.Equal(p.state.file()) {
		paths = append(paths, path.Root("source").AtName("file"))
	}
	return paths
}

// create fills in what is known of a volume that does not exist.
func (p *planner) create() {
	p.plan.Target = p.config.Target
	p.plan.ID, p.plan.Location, p.plan.Path = types.StringUnknown(), types.StringUnknown(), types.StringUnknown()
	p.plan.Source = p.config.Source
	if p.place.Target != "" {
		p.plan.Location = types.StringValue(p.place.Target)
	}
	if p.config.Size.IsNull() {
		p.plan.Size = tftype.UnknownSize()
	}
	if p.config.Pool.IsNull() {
		p.plan.Pool = types.StringUnknown()
		if p.place.Known() && p.place.Backend.Capabilities().DefaultPool != "" {
			p.plan.Pool = types.StringValue(p.place.Backend.Capabilities().DefaultPool)
		}
	}
}

// check adds what is wrong with the volume itself.
func (p *planner) check(diags *diag.Diagnostics) {
	unknown := p.unknown
	for _, field := range []string{"size", "format", "backing", "source"} {
		if unknown.Touches(field) { // what is wrong with one may come right by another
			unknown = append(unknown, "size", "format", "backing", "source")
			break
		}
	}
	want := p.plan.spec()
	if p.state != nil && want.Source != nil && want.Source.File == "" {
		want.Source = nil // imported
	}
	problems := want.Validate()
	if p.place.Known() {
		problems = p.place.Backend.CheckVolume(want)
	}
	attr.Problems(diags, "Volume", problems, unknown)
	if p.state != nil && !p.config.Size.IsNull() && !p.unknown.Touches("size") && want.Size > 0 && want.Size < p.state.Size.Bytes() {
		attr.Refuse(diags, path.Root("size"), "Invalid Volume",
			fmt.Sprintf("volume %s is %s large and cannot shrink to %s", p.state.ID.ValueString(), p.state.Size.ValueString(), p.plan.Size.ValueString()))
	}
	if p.state == nil && want.Source != nil && want.Source.File != "" {
		sourceFile(want.Source.File, diags)
	}
	if p.state == nil && p.place.Known() && !diags.HasError() {
		attr.Problems(diags, "Volume", p.place.Backend.PrecheckVolume(want), unknown)
	}
}

// sourceFile refuses a source that cannot be read.
func sourceFile(name string, diags *diag.Diagnostics) {
	at := path.Root("source").AtName("file")
	info, err := os.Stat(name)
	switch {
	case err != nil:
		attr.Refuse(diags, at, "Invalid Volume", fmt.Sprintf("the source cannot be read: %v", err))
	case info.IsDir():
		attr.Refuse(diags, at, "Invalid Volume", fmt.Sprintf("%s is a directory, not a disk image", name))
	}
}

// look compares a volume that is to be created with what the host has, and with
// the rest of the configuration.
func (p *planner) look(ctx context.Context, diags *diag.Diagnostics) {
	if p.plan.Pool.IsUnknown() || p.place.Target == "" || p.provider.Owner.IsUnknown() || len(p.unknown) > 0 {
		return
	}
	want := p.plan.spec()
	want.UUID = p.plan.identity(p.provider).ValueString()
	id := spec.VolumeID(want.Pool, want.OwnName())
	if !p.provider.Claim(attr.New, "volume", p.place.Target, id) && p.replaces != want.UUID {
		attr.Fail(diags, "Plan", "Volume", fault.At("name",
			fault.Errorf(fault.Conflict, "another volume of this configuration is called %q in pool %q on target %q too", want.Name, want.Pool, p.place.Target)))
		return
	}
	if !p.place.Known() || p.replaces == want.UUID || p.provider.Seen("volume", p.place.Target, id) {
		return
	}
	b, err := p.provider.Connect(ctx, types.StringValue(p.place.Target), diags)
	if err == nil {
		_, err = b.Volume(ctx, id)
	}
	switch {
	case err == nil:
		diags.AddAttributeWarning(path.Root("name"), "Volume Will Be Adopted",
			fmt.Sprintf("volume %s is on target %q already and was made by this configuration: an apply was interrupted before it could write its state. It will be completed and taken over.", id, p.place.Target))
	case !attr.Gone(err):
		attr.NotLookedAt(diags, err)
	}
}
