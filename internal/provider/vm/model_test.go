package vm

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/novacron/terraform-provider-novacron/internal/spec"
)

// full is a VM that uses everything that a model holds.
func full() spec.VM {
	vm := spec.VM{
		UUID: spec.Identity("o", "vm", "web"), Name: "web", Description: "d", Labels: map[string]string{"a": "b"},
		CPUs: 3, Memory: 3 * spec.GiB, Boot: &spec.DirectBoot{Kernel: "/k", Initrd: "/i", Cmdline: "c"},
		Disks: map[string]spec.Disk{
			"root": {Size: spec.GiB, Backing: "p/base", Pool: "p", Bus: spec.BusVirtio},
			"data": {Volume: "p/data", Bus: spec.BusSATA, ReadOnly: true},
		},
		NICs: map[string]spec.NIC{
			"lan": {Network: "lan", MAC: "52:54:00:01:02:03", Model: "e1000"},
			"out": {Model: "virtio", Forward: map[uint16]uint16{2222: 22}},
		},
		Power: spec.Running, Autostart: true,
	}
	return vm
}

func TestAVMGoesThroughTheModelUnchanged(t *testing.T) {
	for what, edit := range map[string]func(*spec.VM){
		"everything":     func(*spec.VM) {},
		"no direct boot": func(v *spec.VM) { v.Boot = nil },
		"switched off":   func(v *spec.VM) { v.Power, v.Autostart = spec.Stopped, false },
		"no devices":     func(v *spec.VM) { v.Disks, v.NICs, v.Labels = nil, nil, nil },
	} {
		want := full()
		edit(&want)
		var m model
		if diags := m.read(t.Context(), &spec.VMInfo{VM: want}); diags.HasError() {
			t.Fatalf("%s: read: %v", what, diags)
		}
		got := m.spec(t.Context())
		if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%s: read, then spec (-want +got):\n%s", what, diff)
		}
	}
}

func TestNullStaysNullAndEmptyStaysEmpty(t *testing.T) {
	managed := model{CPUs: types.Int64Value(1), Labels: types.MapNull(types.StringType), Disks: types.MapNull(diskType()), NICs: types.MapValueMust(nicType(), nil)}
	vm := full()
	if diags := managed.read(t.Context(), &spec.VMInfo{VM: vm}); diags.HasError() {
		t.Fatal(diags)
	}
	if !managed.Labels.IsNull() || !managed.Disks.IsNull() || len(managed.NICs.Elements()) != 2 {
		t.Errorf("labels %s, disks %s, nics %s; want what is not managed null and the rest as it is", managed.Labels, managed.Disks, managed.NICs)
	}
	got := managed.spec(t.Context())
	if got.Labels != nil || got.Disks != nil {
		t.Errorf("spec = %+v; want nil for what is not managed", got)
	}
	none := model{Labels: types.MapValueMust(types.StringType, nil), Disks: types.MapValueMust(diskType(), nil), NICs: types.MapValueMust(nicType(), nil)}
	if got := none.spec(t.Context()); got.Labels == nil || got.Disks == nil || got.NICs == nil {
		t.Errorf("spec = %+v; want empty, not nil: empty means none", got)
	}
}

func TestADerivedMACAddressIsNoWish(t *testing.T) {
	vm := full()
	vm.NICs = map[string]spec.NIC{"lan": {MAC: ""}}
	var m model
	if diags := m.read(t.Context(), &spec.VMInfo{VM: vm}); diags.HasError() {
		t.Fatal(diags)
	}
	if got := m.spec(t.Context()).NICs["lan"].MAC; got != "" {
		t.Errorf("the MAC address derived from the identity comes back as a wish: %q", got)
	}
}
