package vm

import (
	"context"

	fwattr "github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/novacron/terraform-provider-novacron/internal/provider/attr"
	"github.com/novacron/terraform-provider-novacron/internal/spec"
)

// A platform never tells what a seed says, only its digest. So the state of an
// imported VM holds a marker in place of what is not known: empty user data,
// which no configuration may hold, and an empty list of keys.

func cloudInitTypes() map[string]fwattr.Type {
	return map[string]fwattr.Type{
		"user_data": types.StringType, "user_data_wo": types.StringType, "user_data_wo_version": types.Int64Type,
		"network_config": types.StringType, "vendor_data": types.StringType,
	}
}

// importSeed puts markers where the seed with the digest was made from
// attributes whose contents nobody knows any more.
func (m *model) importSeed(digest string) {
	cloudInit, sshKeys := spec.SeedParts(digest)
	if cloudInit {
		m.CloudInit = types.ObjectValueMust(cloudInitTypes(), map[string]fwattr.Value{
			"user_data": types.StringValue(""), "user_data_wo": types.StringNull(), "user_data_wo_version": types.Int64Null(),
			"network_config": types.StringNull(), "vendor_data": types.StringNull(),
		})
	}
	if sshKeys {
		m.SSHKeys = types.ListValueMust(types.StringType, nil)
	}
}

// importedSeed reports whether the state holds markers.
func (m *model) importedSeed(ctx context.Context) bool {
	if c, ok := object[cloudInitModel](ctx, m.CloudInit); ok && !c.UserData.IsNull() && c.UserData.ValueString() == "" {
		return true
	}
	_, sshKeys := spec.SeedParts(m.SeedDigest.ValueString())
	return sshKeys && len(m.SSHKeys.Elements()) == 0
}

// contents puts what the configuration says of the seed into vm.
func (m *model) contents(ctx context.Context, vm *spec.VM) {
	if c, ok := object[cloudInitModel](ctx, m.CloudInit); ok {
		vm.CloudInit = &spec.CloudInit{
			UserData:      c.UserData.ValueString() + c.UserDataWO.ValueString(), // one of them at most
			NetworkConfig: c.NetworkConfig.ValueString(),
			VendorData:    c.VendorData.ValueString(),
		}
	}
	vm.SSHKeys = nil
	for _, v := range m.SSHKeys.Elements() {
		if s, ok := v.(types.String); ok {
			vm.SSHKeys = append(vm.SSHKeys, s.ValueString())
		}
	}
}

// writeOnly reports whether the configuration holds user data that no state may
// hold.
func (m *model) writeOnly(ctx context.Context) bool {
	c, _ := object[cloudInitModel](ctx, m.CloudInit)
	return !c.UserDataWO.IsNull()
}

// keepImported keeps the markers in the plan while the configuration describes
// the seed that the imported VM has: then there is nothing to do.
func (m *model) keepImported(ctx context.Context, state, config *model) {
	if !state.importedSeed(ctx) {
		return
	}
	described := spec.VM{Name: state.Name.ValueString()}
	config.contents(ctx, &described)
	if described.SeedDigest() != state.SeedDigest.ValueString() {
		return
	}
	if !m.CloudInit.IsNull() && !state.CloudInit.IsNull() {
		m.CloudInit = state.CloudInit
	}
	if !m.SSHKeys.IsNull() && !state.SSHKeys.IsNull() {
		m.SSHKeys = state.SSHKeys
	}
}

// seed puts into vm the seed that the plan m wants. Where the inputs are as they
// were, and their contents are not to be compared (write-only: the version
// decides; imported: not known), the seed is the one that the VM has.
func (m *model) seed(ctx context.Context, vm *spec.VM, state, config *model) {
	config.contents(ctx, vm)
	if state == nil || state.SeedDigest.ValueString() == "" {
		return
	}
	same := m.CloudInit.Equal(state.CloudInit) && m.SSHKeys.Equal(state.SSHKeys)
	if same && (config.writeOnly(ctx) || state.importedSeed(ctx)) {
		vm.CloudInit, vm.SSHKeys = &spec.CloudInit{Digest: state.SeedDigest.ValueString()}, nil
	}
}

// seedDigest returns what the plan can promise of the seed's digest: nothing as
// long as inputs are unknown, or may differ when they are applied.
func (m *model) seedDigest(ctx context.Context, vm *spec.VM, state, config *model, unknown attr.Unknown) types.String {
	digest := vm.SeedDigest()
	kept := state != nil && digest == state.SeedDigest.ValueString()
	switch {
	case unknown.Touches("cloud_init") || unknown.Touches("ssh_keys") || unknown.Touches("name"):
		return types.StringUnknown()
	case config.writeOnly(ctx) && !kept:
		return types.StringUnknown()
	}
	return types.StringValue(digest)
}
