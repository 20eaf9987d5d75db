package libvirtvm

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	libvirt "github.com/digitalocean/go-libvirt"

	"github.com/novacron/terraform-provider-novacron/internal/fault"
	"github.com/novacron/terraform-provider-novacron/internal/lab"
	"github.com/novacron/terraform-provider-novacron/internal/libvirtconn"
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

func TestAPoolThatHoldsNoImageFilesIsRefused(t *testing.T) {
	h := lab.ForTest(t)
	ctx := t.Context()
	virsh(t, h, "pool-define-as", "bus", "scsi", "--adapter-name", "host0", "--target", "/dev/disk/by-path")
	conn, err := libvirtconn.New(libvirtconn.Options{URI: h.URI()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.Do(ctx, func(l *libvirt.Libvirt) error {
		pool, err := l.StoragePoolLookupByName("bus")
		if err != nil {
			return err
		}
		_, err = imagePath(l, pool, "x.qcow2")
		if !errors.Is(err, fault.Unsupported) || fault.FieldOf(err) != "pool" || !strings.Contains(err.Error(), "scsi") {
			t.Errorf("imagePath in a pool of SCSI disks = %v at %q; want unsupported, naming the type, at pool", err, fault.FieldOf(err))
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

func TestASeedWithoutItsPoolIsAnErrorAtTheSeed(t *testing.T) {
	h := lab.ForTest(t)
	d := New(open(t, h).conn, "nowhere", "qemu")
	_, err := d.CreateVM(t.Context(), spec.VM{
		UUID: spec.Identity("t", "vm", "seeded"), Name: "seeded", CPUs: 1, Memory: 128 * spec.MiB, Power: spec.Stopped,
		CloudInit: &spec.CloudInit{UserData: "#cloud-config\n"},
	})
	if !errors.Is(err, fault.NotFound) || fault.FieldOf(err) != "cloud_init" {
		t.Errorf("CreateVM whose target names a pool that is not there = %v at %q; want not found at cloud_init", err, fault.FieldOf(err))
	}
}
