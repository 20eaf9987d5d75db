package libvirtvm

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/novacron/terraform-provider-novacron/internal/lab"
	"github.com/novacron/terraform-provider-novacron/internal/spec"
)

func TestTheFormatOfAVolumeIsNotWhatAGuestWroteIntoIt(t *testing.T) {
	h := lab.ForTest(t)
	d := open(t, h)
	v, err := d.CreateVolume(t.Context(), spec.Volume{UUID: spec.Identity("t", "volume", "data"), Name: "data", Format: spec.FormatRaw, Size: spec.MiB})
	if err != nil {
		t.Fatalf("CreateVolume: %v", err)
	}
	trap := filepath.Join(t.TempDir(), "trap.qcow2")
	run(t, "qemu-img", "create", "-q", "-f", "qcow2", trap, "1M")
	header, err := os.ReadFile(trap)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(v.Path, header, 0o600); err != nil {
		t.Fatal(err)
	}
	virsh(t, h, "pool-refresh", "default")
	got, err := d.Volume(t.Context(), v.ID)
	if err != nil || got.Format != spec.FormatRaw {
		t.Errorf("Volume after the guest wrote a qcow2 header = format %q, %v; want raw", got.Format, err)
	}
}

func TestTheBackingVolumeIsNamedWhileItsPoolIsDown(t *testing.T) {
	h := lab.ForTest(t)
	d := open(t, h)
	emptyVolume(t, d, "any") // makes the pool "default"
	virsh(t, h, "pool-define-as", "images", "dir", "--target", filepath.Join(h.Images(), "base"))
	virsh(t, h, "pool-build", "images")
	virsh(t, h, "pool-start", "images")
	base, err := d.CreateVolume(t.Context(), spec.Volume{
		UUID: spec.Identity("t", "volume", "base"), Name: "base", Pool: "images", Format: spec.FormatQCOW2, Size: spec.MiB,
	})
	if err != nil {
		t.Fatalf("CreateVolume: %v", err)
	}
	top, err := d.CreateVolume(t.Context(), spec.Volume{
		UUID: spec.Identity("t", "volume", "top"), Name: "top", Pool: "default", Format: spec.FormatQCOW2, Backing: base.ID,
	})
	if err != nil || top.Backing != base.ID {
		t.Fatalf("CreateVolume of an overlay = backing %q, %v; want %q", top.Backing, err, base.ID)
	}
	virsh(t, h, "pool-destroy", "images")
	got, err := d.Volume(t.Context(), top.ID)
	if err != nil || got.Backing != base.ID {
		t.Errorf("Volume while the pool of its backing volume is down = backing %q, %v; want %q", got.Backing, err, base.ID)
	}
}
