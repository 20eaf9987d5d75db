//go:build linux

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// stack is a configuration with one of everything: an uploaded volume, a
// network, and a running VM with a disk of its own, a seed and a forwarded port.
func stack(t *testing.T, subnet string, port int, memory string) string {
	t.Helper()
	file := filepath.Join(bench.dir, "small.raw")
	if err := os.WriteFile(file, append(make([]byte, 1<<20), []byte("not a boot sector, only some data at the end")...), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(file, 2<<20); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf(`
resource "novacron_volume" "base" {
  name   = "base"
  format = "raw"
  source = { file = %q }
}
resource "novacron_network" "lan" {
  name = "lan"
  mode = "isolated"
  cidr = "%s.0/24"
}
resource "novacron_vm" "one" {
  name       = "one"
  cpus       = 1
  memory     = %q
  disks      = { root = { backing = novacron_volume.base.id, size = "16MiB" } }
  nics       = { lan = { network = novacron_network.lan.id }, user = { forward = { %d = 80 } } }
  cloud_init = { user_data = "#cloud-config\n" }
  autostart  = true
  shutdown   = { timeout = "0s" }
}
`, file, subnet, memory, port)
}

func TestExploreCalls(t *testing.T) {
	h := sharedHost(t)
	p := newProxy(t, h)
	port := freePort(t)
	w := newWorkspace(t, p.uri(), stack(t, h.Subnet(0), port, "32MiB"))
	show := func(what string, r result) {
		m := 0
		s := ""
		for _, c := range p.calls() {
			if c.mutates() {
				m++
			}
			s += fmt.Sprintf("%d:%d/%v ", c.n, c.proc, c.stream)
		}
		t.Logf("%s: %.1fs, %d calls, %d mutate: %s", what, r.took.Seconds(), len(p.calls()), m, s)
	}
	p.arm(hooks{})
	r := w.run(nil, "plan", "-json", "-out=plan")
	show("plan", r)
	p.arm(hooks{})
	show("apply", w.run(nil, "apply", "-json", "-parallelism=1", "plan"))
	p.arm(hooks{})
	show("plan2", w.plan())
	w.write(stack(t, h.Subnet(0), port, "40MiB"))
	show("update plan", w.run(nil, "plan", "-json", "-out=plan"))
	p.arm(hooks{})
	show("update", w.run(nil, "apply", "-json", "-parallelism=1", "plan"))
	p.arm(hooks{})
	show("destroy", w.destroy("-parallelism=1", "-refresh=false"))
	time.Sleep(0)
}
