package libvirtvm

import (
	"errors"
	"net"
	"os"
	"testing"

	"github.com/novacron/terraform-provider-novacron/internal/change"
	"github.com/novacron/terraform-provider-novacron/internal/fault"
	"github.com/novacron/terraform-provider-novacron/internal/lab"
	"github.com/novacron/terraform-provider-novacron/internal/spec"
)

func TestADiskThatOutlivedItsVMOutlivesAFailedCreate(t *testing.T) {
	h := lab.ForTest(t)
	d := open(t, h)
	ctx := t.Context()
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	port := uint16(busy.Addr().(*net.TCPAddr).Port)
	vm := spec.VM{
		UUID: spec.Identity("t", "vm", "db"), Name: "db", CPUs: 1, Memory: 128 * spec.MiB, Power: spec.Stopped,
		Disks: map[string]spec.Disk{"data": {Size: spec.MiB}},
		NICs:  map[string]spec.NIC{"user": {Forward: map[uint16]uint16{port: 22}}},
	}
	info, err := d.CreateVM(ctx, vm)
	if err != nil {
		t.Fatalf("CreateVM: %v", err)
	}
	old, err := d.Volume(ctx, info.OwnedDisks["data"])
	if err != nil {
		t.Fatal(err)
	}
	virsh(t, h, "undefine", "db")
	vm.Power = spec.Running
	vm.Disks["more"] = spec.Disk{Size: spec.MiB}
	if _, err := d.CreateVM(ctx, vm); !errors.Is(err, fault.Conflict) {
		t.Fatalf("CreateVM with a port that is taken = %v, want conflict", err)
	}
	if _, err := d.VM(ctx, vm.UUID); !errors.Is(err, fault.NotFound) {
		t.Errorf("VM after the create that failed = %v, want not found", err)
	}
	left, err := os.ReadDir(h.Images())
	if err != nil || len(left) != 1 || h.Images()+"/"+left[0].Name() != old.Path {
		t.Errorf("files after the create that failed = %v, %v; want the disk that was there before, %s", left, err, old.Path)
	}
}

func TestASeedThatIsGoneIsNotReplacedByAnEmptyOne(t *testing.T) {
	h := lab.ForTest(t)
	d := open(t, h)
	ctx := t.Context()
	vm := spec.VM{
		UUID: spec.Identity("t", "vm", "seeded"), Name: "seeded", CPUs: 1, Memory: 128 * spec.MiB, Power: spec.Stopped,
		CloudInit: &spec.CloudInit{UserData: "#cloud-config\n"},
	}
	have, err := d.CreateVM(ctx, vm)
	if err != nil {
		t.Fatalf("CreateVM: %v", err)
	}
	files, err := os.ReadDir(h.Images())
	if err != nil || len(files) != 1 {
		t.Fatalf("files in the pool = %v, %v; want the seed", files, err)
	}
	virsh(t, h, "vol-delete", files[0].Name(), "default")
	vm.CPUs, vm.CloudInit = 2, &spec.CloudInit{Digest: have.SeedDigest()} // what an update knows of a write-only seed
	if _, err := d.UpdateVM(ctx, vm, change.VM(have.VM, vm), spec.Shutdown{}); fault.FieldOf(err) != "cloud_init" {
		t.Errorf("UpdateVM whose seed is gone = %v, want an error at cloud_init", err)
	}
	if left, err := os.ReadDir(h.Images()); err != nil || len(left) != 0 {
		t.Errorf("files in the pool = %v, %v; want no seed, rather than one that says nothing", left, err)
	}
}

func TestAVMIsReadAndDeletedWhileItsPoolIsDown(t *testing.T) {
	h := lab.ForTest(t)
	d := open(t, h)
	ctx := t.Context()
	vm := spec.VM{
		UUID: spec.Identity("t", "vm", "cold"), Name: "cold", CPUs: 1, Memory: 128 * spec.MiB, Power: spec.Stopped,
		Disks:     map[string]spec.Disk{"data": {Size: spec.MiB}},
		CloudInit: &spec.CloudInit{UserData: "#cloud-config\n"},
	}
	made, err := d.CreateVM(ctx, vm)
	if err != nil {
		t.Fatalf("CreateVM: %v", err)
	}
	virsh(t, h, "pool-destroy", "default") // as after a reboot of a host that does not start it
	have, err := d.VM(ctx, vm.UUID)
	if err != nil || have.Disks["data"].Size != spec.MiB || have.SeedDigest() != made.SeedDigest() {
		t.Errorf("VM while its pool is down = %+v, %v; want its disk and its seed as they were", have, err)
	}
	virsh(t, h, "pool-destroy", "default")
	if err := d.DeleteVM(ctx, vm.UUID); err != nil {
		t.Errorf("DeleteVM while the pool is down: %v", err)
	}
	if left, err := os.ReadDir(h.Images()); err != nil || len(left) != 0 {
		t.Errorf("files left in the pool: %v, %v", left, err)
	}
}
