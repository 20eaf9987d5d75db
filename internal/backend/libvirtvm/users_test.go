package libvirtvm

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/novacron/terraform-provider-novacron/internal/fault"
	"github.com/novacron/terraform-provider-novacron/internal/lab"
	"github.com/novacron/terraform-provider-novacron/internal/spec"
)

// foreignVM is the definition of a VM that another tool made, with the disks.
const foreignVM = `<domain type='qemu'><name>%s</name><memory unit='MiB'>64</memory><vcpu>1</vcpu>
<os><type machine='pc'>hvm</type></os><features><acpi/></features><devices>%s</devices></domain>`

// virsh runs a command of virsh, as another tool would.
func virsh(t *testing.T, h *lab.Host, args ...string) {
	t.Helper()
	if out, err := h.Virsh(t.Context(), args...); err != nil {
		t.Fatalf("virsh %v: %v\n%s", args, err, out)
	}
}

// run runs a command of this machine.
func run(t *testing.T, command string, args ...string) {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), command, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %v: %v\n%s", command, args, err, out)
	}
}

// foreign defines a VM that another tool made.
func foreign(t *testing.T, h *lab.Host, name, disks string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), name+".xml")
	if err := os.WriteFile(file, fmt.Appendf(nil, foreignVM, name, disks), 0o600); err != nil {
		t.Fatal(err)
	}
	virsh(t, h, "define", file)
}

func emptyVolume(t *testing.T, d *Driver, name string) spec.VolumeInfo {
	t.Helper()
	v, err := d.CreateVolume(t.Context(), spec.Volume{
		UUID: spec.Identity("t", "volume", name), Name: name, Format: spec.FormatQCOW2, Size: spec.MiB,
	})
	if err != nil {
		t.Fatalf("CreateVolume: %v", err)
	}
	return v
}

func TestAVolumeThatAnotherToolsVMNeedsIsNotDeleted(t *testing.T) {
	h := lab.ForTest(t)
	d := open(t, h)
	pooled, plugged, base := emptyVolume(t, d, "pooled"), emptyVolume(t, d, "plugged"), emptyVolume(t, d, "base")
	_, name, _ := spec.SplitVolumeID(pooled.ID)
	foreign(t, h, "pooled", fmt.Sprintf(`<disk type='volume'><driver name='qemu' type='qcow2'/>
		<source pool='default' volume='%s'/><target dev='vda' bus='virtio'/></disk>`, name))
	overlay := filepath.Join(filepath.Dir(h.Images()), "overlay.qcow2")
	run(t, "qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", base.Path, overlay)
	if err := os.Chmod(overlay, 0o666); err != nil {
		t.Fatal(err)
	}
	foreign(t, h, "running", "")
	virsh(t, h, "start", "--paused", "running")
	virsh(t, h, "attach-disk", "running", plugged.Path, "vda", "--live", "--subdriver", "qcow2")
	virsh(t, h, "attach-disk", "running", overlay, "vdb", "--live", "--subdriver", "qcow2")
	for _, c := range []struct {
		how    string
		volume spec.VolumeInfo
		user   string
	}{
		{"named by pool and name", pooled, `VM "pooled"`},
		{"plugged into the running VM only", plugged, `VM "running"`},
		{"below an overlay outside of all pools", base, `VM "running"`},
	} {
		users, err := d.VolumeUsers(t.Context(), c.volume.ID)
		if err != nil || len(users) != 1 || users[0] != c.user {
			t.Errorf("VolumeUsers of a volume that is %s = %q, %v; want %s", c.how, users, err, c.user)
		}
		if err := d.DeleteVolume(t.Context(), c.volume.ID); !errors.Is(err, fault.Busy) {
			t.Errorf("DeleteVolume of a volume that is %s = %v, want busy", c.how, err)
		}
		if _, err := os.Stat(c.volume.Path); err != nil {
			t.Errorf("a volume that is %s: %v", c.how, err)
		}
	}
	virsh(t, h, "destroy", "running")
	for _, v := range []spec.VolumeInfo{plugged, base} {
		if err := d.DeleteVolume(t.Context(), v.ID); err != nil {
			t.Errorf("DeleteVolume of a volume that nothing needs any more = %v", err)
		}
	}
}
