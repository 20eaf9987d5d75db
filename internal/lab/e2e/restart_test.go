//go:build linux

package e2e

import (
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// five is five VMs that are off, each with a disk of its own.
const five = `
resource "novacron_vm" "v" {
  count       = 5
  name        = "v${count.index}"
  cpus        = 1
  memory      = "32MiB"
  power_state = "stopped"
  disks       = { root = { size = "1MiB" } }
}
`

// wantUnavailable fails the test unless every resource that failed says so once,
// of the connection.
func wantUnavailable(t *testing.T, r result) {
	t.Helper()
	seen := map[string]bool{}
	for _, d := range r.errors {
		if seen[d.Address] || d.Address == "" {
			t.Errorf("a second error of %q: %s: %s", d.Address, d.Summary, d.Detail)
		}
		seen[d.Address] = true
		if d.Summary != "Unable to Create VM" || !strings.Contains(d.Detail, "connect") {
			t.Errorf("%s: %q: %s\nwant a word on the connection", d.Address, d.Summary, d.Detail)
		}
	}
	if r.err != nil && len(r.errors) == 0 {
		t.Errorf("the apply failed without an error\n%s", r.out)
	}
}

func TestLibvirtdCrashesBetweenPlanAndApply(t *testing.T) {
	t.Parallel()
	h := ownHost(t)
	w := newWorkspace(t, h.URI(), five)
	if r := w.do("plan", "-json", "-out=plan"); r.err != nil {
		t.Fatal(r.text())
	}
	if err := h.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if r := w.do("apply", "-json", "plan"); r.err != nil {
		t.Fatalf("apply: %v\n%s", r.err, r.text())
	}
	w.mustBeDone()
	if err := h.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.mustDestroy()
}

func TestLibvirtdCrashesDuringAnApply(t *testing.T) {
	t.Parallel()
	h := ownHost(t)
	p := newProxy(t, h)
	w := newWorkspace(t, p.uri(), five)
	for _, change := range []int{1, 3, 5, 8} {
		var once sync.Once
		var failed error
		p.arm(hooks{before: func(c call) bool {
			if c.change == change {
				once.Do(func() { failed = h.Restart(t.Context()) })
			}
			return false
		}})
		r := w.apply()
		p.arm(hooks{})
		if failed != nil {
			t.Fatal(failed)
		}
		wantUnavailable(t, r)
		t.Logf("libvirtd crashed at change %d: %d of 5 VMs failed", change, len(r.errors))
		w.mustApply()
		w.mustBeDone()
		if got := len(strings.Fields(virsh(t, h, "list", "--all", "--name"))); got != 5 {
			t.Errorf("the host has %d VMs, want 5", got)
		}
		w.mustDestroy()
		if left, err := leftovers(h); err != nil || len(left) > 0 {
			t.Fatalf("libvirtd crashed at change %d, and destroy left %v, %v", change, left, err)
		}
	}
}

func TestConnectionsAreCutDuringAnApply(t *testing.T) {
	h := sharedHost(t)
	p := newProxy(t, h)
	w := newWorkspace(t, p.uri(), five)
	var once sync.Once
	p.arm(hooks{after: func(c call) bool {
		if c.change == 4 {
			once.Do(p.cut)
		}
		return false
	}})
	r := w.apply()
	p.arm(hooks{})
	wantUnavailable(t, r)
	w.mustApply()
	w.mustBeDone()
	w.mustDestroy()
}

func TestAHostThatFallsSilentIsOneErrorAndNotAHang(t *testing.T) {
	t.Parallel()
	h := ownHost(t)
	p := newProxy(t, h)
	w := newWorkspace(t, p.uri(), volumeWith("a", fmt.Sprintf("format = \"raw\"\nsource = { file = %q }", smallImage(t))))
	p.arm(hooks{before: func(c call) bool {
		if c.change == 2 {
			p.hole.Store(true)
		}
		return false
	}})
	r := w.apply()
	p.hole.Store(false)
	p.arm(hooks{})
	wantError(t, r, "Unable to Create Volume", "", "stopped answering")
	if r.took > time.Minute {
		t.Errorf("the apply took %s to give up, want less than a minute", r.took)
	}
	w.mustApply()
	w.mustBeDone()
	if got := virsh(t, h, "vol-list", "default"); strings.Count(got, filepath.Join(h.Images(), "a.")) != 1 {
		t.Errorf("volumes = %s\nwant one", got)
	}
	w.mustDestroy()
}
