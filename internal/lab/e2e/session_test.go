//go:build linux

package e2e

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/novacron/terraform-provider-novacron/internal/lab"
)

func TestAnOrdinaryUserRunsAVM(t *testing.T) {
	h, err := lab.StartSession(t.Context(), lab.HostOptions{})
	if err != nil {
		t.Fatalf("StartSession: %v", err)
	}
	t.Cleanup(func() {
		wantEmpty(t, h)
		if err := h.Stop(); err != nil {
			t.Errorf("Stop: %v", err)
		}
	})
	port := freePort(t)
	body := fmt.Sprintf(`
provider "novacron" {
  owner   = "e2e"
  targets = { mine = { libvirt = { uri = "qemu:///session" } } }
}
resource "novacron_volume" "base" {
  name   = "base"
  format = "raw"
  source = { file = %q }
}
resource "novacron_vm" "mine" {
  name     = "mine"
  cpus     = 1
  memory   = "128MiB"
  disks    = { root = { backing = novacron_volume.base.id, size = "256MiB" } }
  nics     = { user = { forward = { %d = 80 } } }
  ssh_keys = ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ8 nobody@example"]
  wait_for = { tcp = 80, timeout = "90s", on_timeout = "fail" }
}
`, bench.img.Disk, port)
	w := newWorkspaceAs(t, h.Credential(), h.Env(), body)
	w.mustApply()
	if page := get(t, fmt.Sprintf("http://127.0.0.1:%d/", port)); !strings.Contains(page, "mine") {
		t.Errorf("the guest says %q, want the name from its seed", page)
	}
	if os.Geteuid() == 0 {
		pids, err := h.Processes()
		if err != nil {
			t.Fatal(err)
		}
		for _, pid := range pids[1:] {
			if info, err := os.Stat(fmt.Sprintf("/proc/%d", pid)); err == nil && uidOf(info) == 0 {
				t.Errorf("process %d of the session runs as root", pid)
			}
		}
	}
	w.mustBeDone()
	w.write(body + networkWith("lan", `cidr = "10.7.0.0/24"`))
	wantError(t, w.plan(), "Invalid Network", "", "qemu:///system")
	w.write(body)
	w.mustDestroy()
}

func uidOf(info os.FileInfo) uint32 { return info.Sys().(*syscall.Stat_t).Uid }
