//go:build linux

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/novacron/terraform-provider-novacron/internal/lab"
)

// smallImage returns a disk image that is quickly uploaded and boots nothing.
func smallImage(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "small.raw")
	if err := os.WriteFile(file, append(make([]byte, 1<<20), "not a boot sector, only some data at the end"...), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(file, 2<<20); err != nil {
		t.Fatal(err)
	}
	return file
}

// stack is a configuration with one of everything: an uploaded volume, a
// network, and a running VM with a disk of its own, a seed and a forwarded port.
func stack(image, subnet string, port int, memory string) string {
	return fmt.Sprintf(`
resource "novacron_volume" "base" {
  name   = "base"
  format = "raw"
  size   = "4MiB"
  source = { file = %q }
}
resource "novacron_network" "lan" {
  name = "lan"
  mode = "isolated"
  cidr = "%s.0/24"

  depends_on = [novacron_volume.base] # one after the other: every run makes the same calls
}
resource "novacron_vm" "one" {
  name       = "one"
  cpus       = 1
  memory     = %q
  disks      = { root = { backing = novacron_volume.base.id, size = "16MiB" } }
  nics       = { lan = { network = novacron_network.lan.id }, user = { forward = { %d = 80 } } }
  cloud_init = { user_data = "#cloud-config\n# %s\n" }
  autostart  = true
  shutdown   = { timeout = "0s" }
}
`, image, subnet, memory, port, memory)
}

// crash is a death at one call.
type crash struct {
	dies   victims
	change int    // the how manieth call that changes something
	call   int    // instead: the how manieth call of all
	what   string // instead: the first call that does this
	after  bool   // libvirtd has answered
	amid   bool   // libvirtd is at work on the call

	hit  atomic.Bool
	name atomic.Value
}

func (c *crash) hooks() hooks {
	strike := func(k call) bool {
		if c.hit.Load() || c.change != 0 && k.change != c.change || c.call != 0 && k.n != c.call || c.what != "" && k.what != c.what {
			return false
		}
		c.hit.Store(true)
		c.name.Store(k.what)
		if c.amid {
			go c.dies.kill(k.pid)
			return false
		}
		c.dies.kill(k.pid)
		return true
	}
	if c.after {
		return hooks{after: strike, before: func(k call) bool { return k.stream && strike(k) }} // a frame of a stream has no answer
	}
	return hooks{before: strike}
}

func (c *crash) String() string {
	when := "before"
	switch {
	case c.after:
		when = "after"
	case c.amid:
		when = "amid"
	}
	return fmt.Sprintf("%s died %s change %d call %d: %v", c.dies, when, c.change, c.call, c.name.Load())
}

// wantOneOfEach fails the test unless the host holds the stack once and nothing
// else. A volume that the VM had before an update may still be there when its
// definition says that it is to be deleted: the next update or destroy does.
func wantOneOfEach(t *testing.T, h *lab.Host, memory string) {
	t.Helper()
	left, err := leftovers(h)
	if err != nil {
		t.Fatal(err)
	}
	definition := virsh(t, h, "dumpxml", "--inactive", "one")
	var have []string
	for _, l := range left {
		what, name, _ := strings.Cut(l, " ")
		if strings.Contains(definition, fmt.Sprintf("drop volume=%q", "default/"+name)) {
			continue
		}
		if what != "volume" { // each is a file as well
			have = append(have, what+" "+name[:3]+filepath.Ext(name))
		}
	}
	slices.Sort(have)
	if want := []string{"domain one", "file bas.raw", "file one.iso", "file one.qcow2", "network lan"}; !slices.Equal(have, want) {
		t.Errorf("the host holds %v, want one VM, one network and three files", left)
	}
	if got := virsh(t, h, "domstate", "one"); got != "running" {
		t.Errorf("the VM is %s, want running", got)
	}
	if got := virsh(t, h, "dominfo", "one"); !strings.Contains(got, memory) {
		t.Errorf("dominfo = %s\nwant memory %s", got, memory)
	}
	if got := virsh(t, h, "net-info", "lan"); !strings.Contains(strings.Join(strings.Fields(got), " "), "Active: yes") {
		t.Errorf("net-info = %s\nwant it active", got)
	}
}

// Killed at any call, an apply is completed by the next one, and so is a destroy.
//
// A call that only reads leaves the host as it is, so a death there finds what a
// death after the change before it does. So a death after each change meets every
// state that the host can be left in; each is met once, by the provider's death
// and by that of terraform as well in turns (the driver's own tests die at every
// call). A read is taken all the same, and calls that libvirtd is long at work
// on when their caller dies. The destroys at the end of the rounds die in turn
// after each of their changes.
func TestWhoeverIsKilledInAnApplyTheNextOneConverges(t *testing.T) {
	for first, dies := range []victims{theProvider, terraformAndTheProvider} {
		t.Run(string(dies), func(t *testing.T) {
			t.Parallel()
			h := ownHost(t)
			p := newProxy(t, h)
			w := newWorkspace(t, p.uri(), stack(smallImage(t), h.Subnet(0), freePort(t), "32MiB"))
			if r := w.do("plan", "-json", "-out=plan"); r.err != nil {
				t.Fatal(r.text())
			}
			destroyed := first
			round := func(c *crash) bool {
				t.Helper()
				c.dies = dies
				p.arm(c.hooks())
				w.loseState() // what a plan without a state was made for
				r := w.do("apply", "-json", "plan")
				p.arm(hooks{})
				if c.hit.Load() == (r.err == nil) {
					t.Fatalf("%v: apply = %v\n%s", c, r.err, r.text())
				}
				if !c.hit.Load() {
					w.mustDestroy()
					return false
				}
				if r := w.apply(); r.err != nil {
					t.Fatalf("%v, and the next apply failed: %v\n%s", c, r.err, r.text())
				}
				if r := w.plan("-detailed-exitcode"); r.err != nil {
					t.Fatalf("%v, and a plan after the next apply has %v\n%s", c, r.planned, r.text())
				}
				wantOneOfEach(t, h, "32768 KiB")
				destroyed++
				destroyKilled(t, w, p, &crash{dies: dies, change: destroyed, after: true}, &destroyed)
				if left, err := leftovers(h); err != nil || len(left) > 0 {
					t.Fatalf("%v, and after destroy the host holds %v, %v; want nothing", c, left, err)
				}
				t.Log(c)
				return true
			}
			for change := 1 + first; round(&crash{change: change, after: true}); change += 2 {
			}
			round(&crash{call: 60 + first})
			for _, what := range []string{"start domain", "start network"} {
				if !round(&crash{what: what, amid: true}) {
					t.Errorf("no call to %s", what)
				}
			}
		})
	}
}

// destroyKilled destroys with a death, and again without one. When the destroy
// has no such change, the count begins anew.
func destroyKilled(t *testing.T, w *workspace, p *proxy, c *crash, count *int) {
	t.Helper()
	p.arm(c.hooks())
	r := w.destroy()
	p.arm(hooks{})
	if !c.hit.Load() {
		*count = 0
		if r.err != nil {
			t.Fatalf("destroy: %v\n%s", r.err, r.text())
		}
		return
	}
	if r := w.destroy(); r.err != nil {
		t.Fatalf("%v in a destroy, and the next one failed: %v\n%s", c, r.err, r.text())
	}
}

func TestWhoeverIsKilledInAnUpdateTheNextApplyConverges(t *testing.T) {
	t.Parallel()
	h := ownHost(t)
	p := newProxy(t, h)
	image, port := smallImage(t), freePort(t)
	w := newWorkspace(t, p.uri(), stack(image, h.Subnet(0), port, "32MiB"))
	w.mustApply()
	for change := 1; ; change++ {
		c := &crash{change: change, after: change%4 < 2, dies: theProvider}
		if change%2 == 0 {
			c.dies = terraformAndTheProvider
		}
		mib := 32 + change
		w.write(stack(image, h.Subnet(0), port, fmt.Sprintf("%dMiB", mib))) // memory and seed: a reboot with another seed
		p.arm(c.hooks())
		r := w.apply()
		p.arm(hooks{})
		if c.hit.Load() == (r.err == nil) {
			t.Fatalf("%v: apply = %v\n%s", c, r.err, r.text())
		}
		if r := w.apply(); r.err != nil {
			t.Fatalf("%v, and the next apply failed: %v\n%s", c, r.err, r.text())
		}
		if r := w.plan("-detailed-exitcode"); r.err != nil {
			t.Fatalf("%v, and a plan after the next apply has %v\n%s", c, r.planned, r.text())
		}
		wantOneOfEach(t, h, fmt.Sprintf("%d KiB", mib<<10))
		t.Log(c)
		if !c.hit.Load() {
			break
		}
	}
	w.mustDestroy()
}
