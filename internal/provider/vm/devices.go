package vm

import (
	"context"
	"fmt"
	"slices"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/novacron/terraform-provider-novacron/internal/change"
	"github.com/novacron/terraform-provider-novacron/internal/provider/attr"
	"github.com/novacron/terraform-provider-novacron/internal/provider/tftype"
	"github.com/novacron/terraform-provider-novacron/internal/spec"
)

// disks fills in what the configuration leaves to the platform: as it is for a
// disk that exists, unknown for a new one.
func (p *planner) disks(ctx context.Context, diags *diag.Diagnostics) {
	if p.plan.Disks.IsNull() || p.plan.Disks.IsUnknown() {
		return
	}
	var before map[string]diskModel
	if p.state != nil {
		before = objects[diskModel](ctx, p.state.Disks)
	}
	config := objects[diskModel](ctx, p.config.Disks)
	elements := p.plan.Disks.Elements()
	for key, c := range config {
		was, had := before[key]
		c.fill(was, had, p.place)
		field := path.Root("disks").AtMapKey(key)
		if had && c.Volume.IsNull() && c.Backing.Equal(was.Backing) && c.Pool.Equal(was.Pool) && c.Size.Bytes() > 0 && c.Size.Bytes() < was.Size.Bytes() {
			attr.Refuse(diags, field.AtName("size"), "Invalid VM",
				fmt.Sprintf("the disk is %s large and cannot shrink to %s", was.Size.ValueString(), c.Size.ValueString()))
		}
		o, d := types.ObjectValueFrom(ctx, diskType().AttrTypes, c)
		diags.Append(d...)
		elements[key] = o
	}
	p.plan.Disks = mapOf(ctx, diskType(), elements, diags)
}

// fill completes the disk of a configuration with what it was, if it was.
func (d *diskModel) fill(was diskModel, had bool, place attr.Place) {
	if d.ReadOnly.IsNull() {
		d.ReadOnly = types.BoolValue(false)
	}
	if d.Bus.IsNull() {
		d.Bus = types.StringUnknown()
		if had {
			d.Bus = was.Bus
		}
	}
	owned := had && was.Volume.IsNull()
	switch {
	case d.Volume.IsUnknown():
		d.Size, d.Pool = orUnknownSize(d.Size), orUnknown(d.Pool)
		return
	case !d.Volume.IsNull():
		return
	}
	if d.Pool.IsNull() {
		d.Pool = types.StringUnknown()
		if owned {
			d.Pool = was.Pool
		} else if place.Known() && place.Backend.Capabilities().DefaultPool != "" {
			d.Pool = types.StringValue(place.Backend.Capabilities().DefaultPool)
		}
	}
	switch {
	case d.Size.IsNull() && owned && d.Backing.Equal(was.Backing) && d.Pool.Equal(was.Pool), d.Size.Same(was.Size):
		d.Size = was.Size
	case d.Size.IsNull():
		d.Size = tftype.UnknownSize()
	}
}

// lost warns of disks of the VM's own that the change deletes, with what is on
// them: whether the VM runs or not.
func (p *planner) lost(diags *diag.Diagnostics) {
	for _, key := range keys(p.have.Disks) {
		gone := slices.ContainsFunc(p.ops.Ops, func(op change.Op) bool { return op.Field == "disks."+key })
		if disk := p.have.Disks[key]; gone && disk.Owned() {
			protect(p.state, fmt.Sprintf("delete disk %q of", key), diags)
			diags.AddAttributeWarning(path.Root("disks"), "Disk Will Be Deleted",
				fmt.Sprintf("disk %q (%s) of VM %q on target %q is the VM's own: it is deleted with everything on it", key, disk.Size, p.want.Name, p.state.Location.ValueString()))
		}
	}
}

func orUnknown(s types.String) types.String {
	if s.IsNull() {
		return types.StringUnknown()
	}
	return s
}

func orUnknownSize(s tftype.Size) tftype.Size {
	if s.IsNull() {
		return tftype.UnknownSize()
	}
	return s
}

// nics fills in what the configuration leaves to the platform.
func (p *planner) nics(ctx context.Context, diags *diag.Diagnostics) {
	if p.plan.NICs.IsNull() || p.plan.NICs.IsUnknown() {
		return
	}
	var before map[string]nicModel
	if p.state != nil {
		before = objects[nicModel](ctx, p.state.NICs)
	}
	self := spec.VM{UUID: p.plan.ID.ValueString()}
	elements := p.plan.NICs.Elements()
	for key, c := range objects[nicModel](ctx, p.config.NICs) {
		was, had := before[key]
		switch {
		case c.MAC.IsNull() && had:
			c.MAC = was.MAC
		case c.MAC.IsNull() && !p.plan.ID.IsUnknown():
			c.MAC = types.StringValue(self.MACFor(key))
		}
		if c.Model.IsNull() && had {
			c.Model = was.Model
		}
		c.MAC, c.Model = orUnknown(c.MAC), orUnknown(c.Model)
		o, d := types.ObjectValueFrom(ctx, nicType().AttrTypes, c)
		diags.Append(d...)
		elements[key] = o
	}
	p.plan.NICs = mapOf(ctx, nicType(), elements, diags)
}
