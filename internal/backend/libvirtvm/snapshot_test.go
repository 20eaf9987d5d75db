package libvirtvm

import (
	"errors"
	"strings"
	"testing"

	"github.com/novacron/terraform-provider-novacron/internal/change"
	"github.com/novacron/terraform-provider-novacron/internal/fault"
	"github.com/novacron/terraform-provider-novacron/internal/lab"
	"github.com/novacron/terraform-provider-novacron/internal/spec"
)

func TestADiskWithAnExternalSnapshotIsTheSameDisk(t *testing.T) {
	h := lab.ForTest(t)
	d := open(t, h)
	ctx := t.Context()
	data := emptyVolume(t, d, "data")
	vm := spec.VM{
		UUID: spec.Identity("t", "vm", "snapped"), Name: "snapped", CPUs: 1, Memory: 128 * spec.MiB, Power: spec.Stopped,
		Disks: map[string]spec.Disk{"root": {Size: spec.MiB}, "data": {Volume: data.ID}},
	}
	before, err := d.CreateVM(ctx, vm)
	if err != nil {
		t.Fatalf("CreateVM: %v", err)
	}
	virsh(t, h, "start", "--paused", "snapped")
	virsh(t, h, "snapshot-create-as", "snapped", "--disk-only", "--no-metadata", "backup")
	virsh(t, h, "destroy", "snapped")
	doc, err := h.Virsh(ctx, "dumpxml", "--inactive", "snapped")
	if err != nil || strings.Count(doc, ".backup'") != 2 {
		t.Fatalf("the definition has no snapshots (%v):\n%s", err, doc)
	}
	have, err := d.VM(ctx, vm.UUID)
	if plan := change.VM(have.VM, before.VM); err != nil || !plan.Empty() {
		t.Errorf("a snapshot is a difference: %+v, %v; want none: going back would lose what was written since", plan.Ops, err)
	}
	vm.Description = "new"
	if _, err := d.UpdateVM(ctx, vm, change.VM(have.VM, vm), spec.Shutdown{}); err != nil {
		t.Fatalf("UpdateVM: %v", err)
	}
	now, err := h.Virsh(ctx, "dumpxml", "--inactive", "snapped")
	if err != nil || strings.Count(now, ".backup'") != 2 {
		t.Errorf("after a new description the VM is not on its snapshots any more (%v):\n%s", err, now)
	}
}

func TestTheHardwareOfASavedVMIsNotChangedUnderIt(t *testing.T) {
	h := lab.ForTest(t)
	d := open(t, h)
	ctx := t.Context()
	vm := spec.VM{
		UUID: spec.Identity("t", "vm", "saved"), Name: "saved", CPUs: 1, Memory: 128 * spec.MiB, Power: spec.Stopped,
		Disks: map[string]spec.Disk{"root": {Size: spec.MiB}},
	}
	if _, err := d.CreateVM(ctx, vm); err != nil {
		t.Fatalf("CreateVM: %v", err)
	}
	virsh(t, h, "start", "--paused", "saved")
	virsh(t, h, "managedsave", "saved")
	update := func(edit func(*spec.VM)) error {
		have, err := d.VM(ctx, vm.UUID)
		if err != nil {
			t.Fatal(err)
		}
		want := vm
		edit(&want)
		_, err = d.UpdateVM(ctx, want, change.VM(have.VM, want), spec.Shutdown{})
		return err
	}
	if err := update(func(v *spec.VM) { v.CPUs = 2 }); !errors.Is(err, fault.Conflict) || fault.FieldOf(err) != "cpus" {
		t.Errorf("UpdateVM of the CPUs of a saved VM = %v, want conflict at cpus", err)
	}
	if err := update(func(v *spec.VM) { v.Disks = map[string]spec.Disk{} }); !errors.Is(err, fault.Conflict) || fault.FieldOf(err) != "disks.root" {
		t.Errorf("UpdateVM that takes a disk from a saved VM = %v, want conflict at disks.root", err)
	}
	if err := update(func(v *spec.VM) { v.Description = "new" }); err != nil {
		t.Errorf("UpdateVM of the description of a saved VM = %v", err)
	}
	virsh(t, h, "managedsave-remove", "saved")
	if err := update(func(v *spec.VM) { v.CPUs = 2 }); err != nil {
		t.Errorf("UpdateVM once the memory is given up = %v", err)
	}
}
