package vm_test

import (
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/novacron/terraform-provider-novacron/internal/backend/simvm"
	"github.com/novacron/terraform-provider-novacron/internal/fault"
	"github.com/novacron/terraform-provider-novacron/internal/provider/acctest"
)

const stack = lan + `
resource "novacron_volume" "v" {
  name = "data"
  size = "1GiB"
}
resource "novacron_vm" "web" {
  name     = "web"
  cpus     = 1
  memory   = "128MiB"
  disks    = { root = { size = "1GiB" }, data = { volume = novacron_volume.v.id } }
  nics     = { lan = { network = novacron_network.lan.id } }
  ssh_keys = ["k"]
  shutdown = { timeout = "20ms" }
}
`

// inventory returns everything on the host.
func inventory(t *testing.T, w *acctest.World) []string {
	t.Helper()
	vms, volumes, networks, err := w.Host("sim").Hand().Inventory()
	if err != nil {
		t.Fatal(err)
	}
	return slices.Sorted(slices.Values(slices.Concat(vms, volumes, networks)))
}

// TestApplyConvergesAfterAFaultAtEveryCall breaks one call of the platform after
// the other. Whatever breaks, the next apply brings about what is wanted, with
// nothing left over, and destroy leaves nothing at all.
func TestApplyConvergesAfterAFaultAtEveryCall(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		what string
		err  error
		lost bool // the state is lost too: the process was killed
	}{
		{"the process is killed", simvm.ErrCrash, true},
		{"the connection breaks", simvm.ErrCrash, false},
		{"the platform refuses", fault.Errorf(fault.Exhausted, "no room"), false},
	} {
		t.Run(tc.what, func(t *testing.T) {
			t.Parallel()
			w := acctest.NewWorld()
			c := w.CLI(t)
			c.Write(stack)
			c.MustApply()
			want := inventory(t, w)
			if r := c.Destroy(); r.Failed {
				t.Fatalf("destroy failed:\n%s", r.Output)
			}
			for n := int64(1); ; n++ {
				var calls atomic.Int64
				step := ""
				w.Break(func(s string, _ int) error {
					if calls.Add(1) == n {
						step = s
						return tc.err
					}
					return nil
				})
				r := c.Apply("-parallelism=1")
				w.Break(nil)
				if step == "" {
					if r.Failed {
						t.Fatalf("apply failed without a fault:\n%s", r.Output)
					}
					break
				}
				if tc.lost {
					c.LoseState()
				}
				if r := c.Apply(); r.Failed {
					t.Fatalf("after a fault at call %d (%s): apply failed:\n%s", n, step, r.Output)
				}
				if diff := cmp.Diff(want, inventory(t, w)); diff != "" {
					t.Errorf("after a fault at call %d (%s) the host differs (-want +got):\n%s", n, step, diff)
				}
				c.MustBeEmpty()
				breakDestroy(t, w, c, tc.err, n)
				if got := inventory(t, w); len(got) > 0 {
					t.Fatalf("after a fault at call %d (%s): destroy left %v", n, step, got)
				}
			}
		})
	}
}

// breakDestroy destroys with a fault at call n, and then without.
func breakDestroy(t *testing.T, w *acctest.World, c *acctest.CLI, err error, n int64) {
	t.Helper()
	var calls atomic.Int64
	w.Break(func(string, int) error {
		if calls.Add(1) == n {
			return err
		}
		return nil
	})
	c.Destroy()
	w.Break(nil)
	if r := c.Destroy(); r.Failed {
		t.Fatalf("destroy after a fault at call %d of a destroy failed:\n%s", n, r.Output)
	}
}

func TestLeftoversAreAnnouncedAndAdopted(t *testing.T) {
	t.Parallel()
	w := acctest.NewWorld()
	c := w.CLI(t)
	c.Write(stack)
	c.MustApply()
	want := inventory(t, w)
	c.LoseState()
	r := c.Plan()
	for _, summary := range []string{"VM Will Be Adopted", "Volume Will Be Adopted", "Network Will Be Adopted"} {
		c.WantWarning(r, summary, "name", "taken over")
	}
	boots, _, err := w.Host("sim").Hand().Guest("web")
	c.MustApply()
	now, _, err2 := w.Host("sim").Hand().Guest("web")
	if err != nil || err2 != nil || now != boots {
		t.Errorf("the guest was started %d times before and %d after, %v %v; want it left running", boots, now, err, err2)
	}
	if diff := cmp.Diff(want, inventory(t, w)); diff != "" {
		t.Errorf("the host differs (-want +got):\n%s", diff)
	}
	c.MustBeEmpty()
}

// TestUpdateConvergesAfterAFaultAtEveryCall does the same for a change that needs
// a reboot.
func TestUpdateConvergesAfterAFaultAtEveryCall(t *testing.T) {
	t.Parallel()
	w := acctest.NewWorld()
	c := w.CLI(t)
	c.Write(stack)
	c.MustApply()
	configs := []string{strings.Replace(stack, "128MiB", "256MiB", 1), stack}
	for n := int64(1); ; n++ {
		c.Write(configs[n%2])
		var calls atomic.Int64
		broken := false
		w.Break(func(string, int) error {
			if calls.Add(1) == n {
				broken = true
				return simvm.ErrCrash
			}
			return nil
		})
		r := c.Apply("-parallelism=1")
		w.Break(nil)
		if r := c.Apply(); r.Failed {
			t.Fatalf("after a fault at call %d: apply failed:\n%s", n, r.Output)
		}
		c.MustBeEmpty()
		if a := c.Attributes("novacron_vm.web"); a["status"] != "running" {
			t.Errorf("after a fault at call %d: status %v; want running", n, a["status"])
		}
		if !broken {
			if r.Failed {
				t.Errorf("apply failed without a fault:\n%s", r.Output)
			}
			return
		}
	}
}
