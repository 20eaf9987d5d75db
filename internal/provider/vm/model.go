package vm

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/hashicorp/terraform-plugin-framework-timeouts/resource/timeouts"
	fwattr "github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/terraform-plugin-framework/types/basetypes"

	"github.com/novacron/terraform-provider-novacron/internal/backend"
	"github.com/novacron/terraform-provider-novacron/internal/change"
	"github.com/novacron/terraform-provider-novacron/internal/provider/tftype"
	"github.com/novacron/terraform-provider-novacron/internal/spec"
)

// model is the resource as Terraform holds it in a configuration, plan or state.
type model struct {
	ID          types.String `tfsdk:"id"`
	Name        types.String `tfsdk:"name"`
	Target      types.String `tfsdk:"target"`
	Location    types.String `tfsdk:"location"`
	Description types.String `tfsdk:"description"`
	Labels      types.Map    `tfsdk:"labels"`

	CPUs    types.Int64  `tfsdk:"cpus"`
	Memory  tftype.Size  `tfsdk:"memory"`
	Kernel  types.String `tfsdk:"kernel"`
	Initrd  types.String `tfsdk:"initrd"`
	Cmdline types.String `tfsdk:"cmdline"`
	Disks   types.Map    `tfsdk:"disks"`
	NICs    types.Map    `tfsdk:"nics"`

	SSHKeys    types.List   `tfsdk:"ssh_keys"`
	CloudInit  types.Object `tfsdk:"cloud_init"`
	PowerState types.String `tfsdk:"power_state"`
	Autostart  types.Bool   `tfsdk:"autostart"`

	WaitFor            types.Object   `tfsdk:"wait_for"`
	Shutdown           types.Object   `tfsdk:"shutdown"`
	UpdatePolicy       types.Object   `tfsdk:"update_policy"`
	DeletionProtection types.Bool     `tfsdk:"deletion_protection"`
	Timeouts           timeouts.Value `tfsdk:"timeouts"`

	Status           types.String `tfsdk:"status"`
	Ready            types.Bool   `tfsdk:"ready"`
	IP               types.String `tfsdk:"ip"`
	Addresses        types.Map    `tfsdk:"addresses"`
	LastDisruption   types.String `tfsdk:"last_disruption"`
	SeedDigest       types.String `tfsdk:"seed_digest"`
	UnmanagedDevices types.List   `tfsdk:"unmanaged_devices"`
}

type diskModel struct {
	Volume   types.String `tfsdk:"volume"`
	Size     tftype.Size  `tfsdk:"size"`
	Backing  types.String `tfsdk:"backing"`
	Pool     types.String `tfsdk:"pool"`
	Bus      types.String `tfsdk:"bus"`
	ReadOnly types.Bool   `tfsdk:"read_only"`
}

type nicModel struct {
	Network types.String `tfsdk:"network"`
	MAC     types.String `tfsdk:"mac"`
	Model   types.String `tfsdk:"model"`
	Forward types.Map    `tfsdk:"forward"`
}

type cloudInitModel struct {
	UserData          types.String `tfsdk:"user_data"`
	UserDataWO        types.String `tfsdk:"user_data_wo"`
	UserDataWOVersion types.Int64  `tfsdk:"user_data_wo_version"`
	NetworkConfig     types.String `tfsdk:"network_config"`
	VendorData        types.String `tfsdk:"vendor_data"`
}

type waitModel struct {
	IP        types.Object    `tfsdk:"ip"`
	TCP       types.Int64     `tfsdk:"tcp"`
	Timeout   tftype.Duration `tfsdk:"timeout"`
	OnTimeout types.String    `tfsdk:"on_timeout"`
}

type shutdownModel struct {
	Timeout tftype.Duration `tfsdk:"timeout"`
	Force   types.Bool      `tfsdk:"force"`
}

// object returns o as a T; ok is false for null and unknown.
func object[T any](ctx context.Context, o types.Object) (v T, ok bool) {
	if o.IsNull() || o.IsUnknown() {
		return v, false
	}
	diags := o.As(ctx, &v, basetypes.ObjectAsOptions{})
	return v, !diags.HasError()
}

// objects returns the elements of m that are known. nil means that m is null or
// unknown.
func objects[T any](ctx context.Context, m types.Map) map[string]T {
	if m.IsNull() || m.IsUnknown() {
		return nil
	}
	all := map[string]T{}
	for key, v := range m.Elements() {
		if o, ok := v.(types.Object); ok {
			if t, ok := object[T](ctx, o); ok {
				all[key] = t
			}
		}
	}
	return all
}

// spec returns the VM that the model describes, without its seed. What is not
// known yet is as if it were not set.
func (m *model) spec(ctx context.Context) spec.VM {
	vm := spec.VM{
		UUID:        m.ID.ValueString(),
		Name:        m.Name.ValueString(),
		Description: m.Description.ValueString(),
		CPUs:        int(m.CPUs.ValueInt64()),
		Memory:      m.Memory.Bytes(),
		Power:       spec.Power(m.PowerState.ValueString()),
		Autostart:   m.Autostart.ValueBool(),
	}
	if !m.Labels.IsNull() && !m.Labels.IsUnknown() {
		vm.Labels = map[string]string{}
		for key, v := range m.Labels.Elements() {
			if s, ok := v.(types.String); ok {
				vm.Labels[key] = s.ValueString()
			}
		}
	}
	if !m.Kernel.IsNull() {
		vm.Boot = &spec.DirectBoot{Kernel: m.Kernel.ValueString(), Initrd: m.Initrd.ValueString(), Cmdline: m.Cmdline.ValueString()}
	}
	if disks := objects[diskModel](ctx, m.Disks); disks != nil {
		vm.Disks = map[string]spec.Disk{}
		for key, d := range disks {
			vm.Disks[key] = d.spec()
		}
	}
	if nics := objects[nicModel](ctx, m.NICs); nics != nil {
		vm.NICs = map[string]spec.NIC{}
		for key, n := range nics {
			vm.NICs[key] = n.spec()
			if mac := n.MAC.ValueString(); mac != vm.MACFor(key) {
				nic := vm.NICs[key]
				nic.MAC = mac
				vm.NICs[key] = nic
			}
		}
	}
	return vm
}

func (d diskModel) spec() spec.Disk {
	return spec.Disk{
		Volume: d.Volume.ValueString(), Size: d.Size.Bytes(), Backing: d.Backing.ValueString(),
		Pool: d.Pool.ValueString(), Bus: d.Bus.ValueString(), ReadOnly: d.ReadOnly.ValueBool(),
	}
}

// spec returns the interface without its MAC address.
func (n nicModel) spec() spec.NIC {
	nic := spec.NIC{Network: n.Network.ValueString(), Model: n.Model.ValueString()}
	if n.Forward.IsNull() || n.Forward.IsUnknown() {
		return nic
	}
	nic.Forward = map[uint16]uint16{}
	for key, v := range n.Forward.Elements() {
		host, err := strconv.ParseUint(key, 10, 16)
		if guest, ok := v.(types.Int64); ok && err == nil && !guest.IsUnknown() {
			nic.Forward[uint16(host)] = uint16(guest.ValueInt64())
		}
	}
	return nic
}

// off returns how the VM is shut down.
func (m *model) off(ctx context.Context) spec.Shutdown {
	s, _ := object[shutdownModel](ctx, m.Shutdown)
	return spec.Shutdown{
		Timeout: s.Timeout.Or(time.Minute),
		Force:   s.Force.IsNull() || s.Force.ValueBool(),
	}
}

// wait returns what the guest must have to be ready, and whether its lack is an
// error.
func (m *model) wait(ctx context.Context) (w backend.Wait, fail bool) {
	v, ok := object[waitModel](ctx, m.WaitFor)
	if !ok {
		return backend.Wait{}, false
	}
	w = backend.Wait{TCP: uint16(v.TCP.ValueInt64()), Timeout: v.Timeout.Or(3 * time.Minute)}
	if ip, ok := object[struct {
		NIC types.String `tfsdk:"nic"`
	}](ctx, v.IP); ok {
		w.IP = ip.NIC.ValueString()
	}
	return w, v.OnTimeout.ValueString() == "fail"
}

// limit returns the greatest disruption that the user allows.
func (m *model) limit(ctx context.Context) change.Class {
	p, _ := object[struct {
		Max types.String `tfsdk:"max_disruption"`
	}](ctx, m.UpdatePolicy)
	if c, ok := change.ParseClass(p.Max.ValueString()); ok {
		return c
	}
	return change.Replace
}

// read takes over what the platform says. What the configuration does not manage
// (null) stays null, except while the VM is imported: then everything is taken.
func (m *model) read(ctx context.Context, info *spec.VMInfo) diag.Diagnostics {
	imported := m.CPUs.IsNull()
	var diags diag.Diagnostics
	m.ID = types.StringValue(info.UUID)
	m.Name = types.StringValue(info.Name)
	m.Description = types.StringValue(info.Description)
	m.CPUs = types.Int64Value(int64(info.CPUs))
	m.Memory = tftype.NewSize(info.Memory)
	m.PowerState = types.StringValue(string(info.Power))
	m.Autostart = types.BoolValue(info.Autostart)
	m.DeletionProtection = types.BoolValue(m.DeletionProtection.ValueBool())
	if !m.Labels.IsNull() || imported && len(info.Labels) > 0 {
		m.Labels = attrStrings(ctx, info.Labels, &diags)
	}
	var boot spec.DirectBoot
	if info.Boot != nil {
		boot = *info.Boot
	}
	m.Kernel, m.Initrd, m.Cmdline = optional(boot.Kernel), optional(boot.Initrd), optional(boot.Cmdline)
	if !m.Disks.IsNull() || imported && len(info.Disks) > 0 {
		m.readDisks(ctx, info, &diags)
	}
	if !m.NICs.IsNull() || imported && len(info.NICs) > 0 {
		m.readNICs(ctx, info, &diags)
	}
	if imported {
		m.importSeed(info.SeedDigest())
		m.LastDisruption = types.StringValue(change.None.String())
	}
	m.SeedDigest = types.StringValue(info.SeedDigest())
	m.readStatus(ctx, info, &diags)
	return diags
}

func (m *model) readDisks(ctx context.Context, info *spec.VMInfo, diags *diag.Diagnostics) {
	disks := map[string]diskModel{}
	for key, d := range info.Disks {
		v := diskModel{
			Volume: optional(d.Volume), Size: tftype.NullSize(), Backing: optional(d.Backing),
			Pool: types.StringNull(), Bus: optional(d.Bus), ReadOnly: types.BoolValue(d.ReadOnly),
		}
		if d.Owned() {
			v.Size, v.Pool = tftype.NewSize(d.Size), optional(d.Pool)
		}
		disks[key] = v
	}
	m.Disks = mapOf(ctx, diskType(), disks, diags)
}

func (m *model) readNICs(ctx context.Context, info *spec.VMInfo, diags *diag.Diagnostics) {
	before := objects[nicModel](ctx, m.NICs)
	nics := map[string]nicModel{}
	for key, n := range info.NICs {
		v := nicModel{Network: optional(n.Network), MAC: types.StringValue(info.MACFor(key)), Model: optional(n.Model), Forward: types.MapNull(types.Int64Type)}
		// An empty map is no other wish than none at all.
		if len(n.Forward) > 0 || !before[key].Forward.IsNull() {
			forward := map[string]int64{}
			for host, guest := range n.Forward {
				forward[strconv.Itoa(int(host))] = int64(guest)
			}
			f, d := types.MapValueFrom(ctx, types.Int64Type, forward)
			diags.Append(d...)
			v.Forward = f
		}
		nics[key] = v
	}
	m.NICs = mapOf(ctx, nicType(), nics, diags)
}

// transient is the status of a VM that runs and that its host forgets when it
// stops: somebody undefined it. Updating it defines it again.
const transient = "transient"

// readStatus takes over what the platform alone decides.
func (m *model) readStatus(ctx context.Context, info *spec.VMInfo, diags *diag.Diagnostics) {
	m.Status = types.StringValue(string(info.Power))
	if info.Transient {
		m.Status = types.StringValue(transient)
	}
	w, _ := m.wait(ctx)
	lists := map[string][]string{}
	m.IP = types.StringNull()
	for _, a := range info.Addresses {
		if a.NIC != "" {
			lists[a.NIC] = append(lists[a.NIC], a.IP.String())
		}
		if m.IP.IsNull() && (w.IP == "" || w.IP == a.NIC) {
			m.IP = types.StringValue(a.IP.String())
		}
	}
	addresses, d := types.MapValueFrom(ctx, addressesType, lists)
	diags.Append(d...)
	m.Addresses = addresses
	devices, d := types.ListValueFrom(ctx, types.StringType, append([]string{}, info.Unmanaged...))
	diags.Append(d...)
	m.UnmanagedDevices = devices
	m.Ready = types.BoolValue(info.Power == spec.Running && (m.Ready.ValueBool() || w.TCP == 0 && (w.IP == "" || !m.IP.IsNull())))
}

// known takes from the plan every computed value that it promised: what has
// changed since then is the next refresh's to tell.
func (m *model) known(plan *model) {
	keep := func(v *types.String, promised types.String) {
		if !promised.IsUnknown() {
			*v = promised
		}
	}
	keep(&m.ID, plan.ID)
	keep(&m.Target, plan.Target)
	keep(&m.Location, plan.Location)
	keep(&m.Status, plan.Status)
	keep(&m.IP, plan.IP)
	keep(&m.LastDisruption, plan.LastDisruption)
	keep(&m.SeedDigest, plan.SeedDigest)
	if !plan.Ready.IsUnknown() {
		m.Ready = plan.Ready
	}
	if !plan.Addresses.IsUnknown() {
		m.Addresses = plan.Addresses
	}
	if !plan.UnmanagedDevices.IsUnknown() {
		m.UnmanagedDevices = plan.UnmanagedDevices
	}
}

var addressesType = types.ListType{ElemType: types.StringType}

func diskType() types.ObjectType {
	return types.ObjectType{AttrTypes: map[string]fwattr.Type{
		"volume": types.StringType, "size": tftype.SizeType{}, "backing": types.StringType,
		"pool": types.StringType, "bus": types.StringType, "read_only": types.BoolType,
	}}
}

func nicType() types.ObjectType {
	return types.ObjectType{AttrTypes: map[string]fwattr.Type{
		"network": types.StringType, "mac": types.StringType, "model": types.StringType,
		"forward": types.MapType{ElemType: types.Int64Type},
	}}
}

// optional returns s, with "" as null.
func optional(s string) types.String {
	if s == "" {
		return types.StringNull()
	}
	return types.StringValue(s)
}

func attrStrings(ctx context.Context, m map[string]string, diags *diag.Diagnostics) types.Map {
	if m == nil {
		m = map[string]string{}
	}
	v, d := types.MapValueFrom(ctx, types.StringType, m)
	diags.Append(d...)
	return v
}

func mapOf[T any](ctx context.Context, t types.ObjectType, m map[string]T, diags *diag.Diagnostics) types.Map {
	v, d := types.MapValueFrom(ctx, t, m)
	diags.Append(d...)
	return v
}

// keys returns the keys of m in order.
func keys[T any](m map[string]T) []string { return slices.Sorted(maps.Keys(m)) }
