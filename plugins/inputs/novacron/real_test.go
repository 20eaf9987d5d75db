package novacron

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/novacron/terraform-provider-novacron/internal/collect"
	"github.com/novacron/terraform-provider-novacron/internal/lab"
)

var record = flag.Bool("record", false, "record testcases/qemu anew from a real libvirt host")

func TestMain(m *testing.M) {
	lab.Main()
	os.Exit(m.Run())
}

const guest = `<domain type='qemu'><name>%s</name><memory unit='MiB'>%d</memory><vcpu>2</vcpu>
<os><type arch='x86_64' machine='pc'>hvm</type></os><devices>
<disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='%s'/><target dev='vda' bus='virtio'/></disk>
<interface type='%s'><model type='virtio'/></interface><memballoon model='virtio'/></devices></domain>`

// TestRecord makes the recording of the golden test from a real host: a domain
// that runs (its firmware looks for something to boot), one that is paused, one
// that hangs in the last gather and one that is shut off. Without -record it
// checks that a host can still be recorded.
func TestRecord(t *testing.T) {
	h := lab.ForTest(t)
	start := func(name, net string, memory int, args ...string) {
		t.Helper()
		disk, def := filepath.Join(h.Images(), name+".img"), filepath.Join(t.TempDir(), name+".xml")
		if err := errors.Join(os.WriteFile(disk, make([]byte, 1<<20), 0o666), os.WriteFile(def, fmt.Appendf(nil, guest, name, memory, disk, net), 0o644)); err != nil {
			t.Fatal(err)
		}
		if _, err := h.Virsh(t.Context(), append(args, def)...); err != nil {
			t.Fatal(err)
		}
	}
	start("web", "ethernet", 32, "create")
	start("db", "user", 64, "create", "--paused")
	start("stuck", "user", 16, "create", "--paused")
	start("spare", "user", 16, "define")
	src, err := collect.OpenSource(h.URI(), true)
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	var recs []collect.Recorded
	for i := range 3 {
		if i == 2 {
			pid := process(t, h, "stuck")
			if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
				t.Fatal(err)
			}
			defer syscall.Kill(pid, syscall.SIGCONT)
			// Somebody has to be the first to wait for it.
			go h.Virsh(t.Context(), "domblkstat", "stuck", "vda")
			time.Sleep(time.Second)
		}
		time.Sleep(interval)
		r, err := collect.Record(t.Context(), src)
		if err != nil {
			t.Fatalf("Record = %v", err)
		}
		r.Identity.Hostname = "hv1"
		recs = append(recs, r)
	}
	if n := len(recs[2].Domains); n != 4 {
		t.Errorf("recorded %d domains, want 4", n)
	}
	if *record {
		b, err := json.MarshalIndent(recs, "", " ")
		if err != nil {
			t.Fatal(err)
		}
		write(t, replies, string(b)+"\n")
	}
}

// process returns the QEMU of a domain.
func process(t *testing.T, h *lab.Host, name string) int {
	t.Helper()
	pids, err := h.Processes()
	if err != nil {
		t.Fatal(err)
	}
	for _, pid := range pids {
		if b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid)); bytes.Contains(b, []byte("guest="+name+",")) {
			return pid
		}
	}
	t.Fatalf("no QEMU process of domain %s among %v", name, pids)
	return 0
}
