//go:build linux

package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// soon is how long terraform may take to end after Ctrl-C.
const soon = 15 * time.Second

// interrupted applies, presses Ctrl-C once the proxy has seen what when says and
// returns what terraform said.
func interrupted(t *testing.T, w *workspace, p *proxy, when func(call) bool, wait time.Duration) result {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var once sync.Once
	pressed := make(chan time.Time, 1)
	p.arm(hooks{before: func(c call) bool {
		if when(c) {
			once.Do(func() {
				time.AfterFunc(wait, func() {
					pressed <- time.Now()
					cancel()
				})
			})
		}
		return false
	}})
	r := w.run(ctx, "apply", "-json", "-auto-approve")
	p.arm(hooks{})
	select {
	case at := <-pressed:
		took := time.Since(at).Round(time.Millisecond)
		t.Logf("terraform ended %s after Ctrl-C", took)
		if took > soon {
			t.Errorf("terraform ended %s after Ctrl-C, want less than %s", took, soon)
		}
	default:
		t.Fatalf("the apply ended before it was interrupted\n%s", r.text())
	}
	return r
}

func TestCtrlCWhileAGuestIsWaitedForKeepsTheGuest(t *testing.T) {
	h := sharedHost(t)
	p := newProxy(t, h)
	port := freePort(t)
	w := newWorkspace(t, p.uri(), kernelVM("guest", port, "shutdown = { timeout = \"0s\" }"))
	r := interrupted(t, w, p, func(c call) bool { return c.what == "forward a port" }, time.Second)
	t.Log(r.text())
	if got := virsh(t, h, "domstate", "guest"); got != "running" {
		t.Errorf("the guest is %s after Ctrl-C, want running", got)
	}
	w.mustApply()
	if page := get(t, fmt.Sprintf("http://127.0.0.1:%d/", port)); page == "" {
		t.Error("the guest answers with nothing")
	}
	w.mustBeDone()
	if got := strings.Fields(virsh(t, h, "list", "--all", "--name")); len(got) != 1 {
		t.Errorf("VMs of the host = %v, want one", got)
	}
	w.mustDestroy()
}

func TestCtrlCDuringAnUploadLeavesNothingHalf(t *testing.T) {
	h := sharedHost(t)
	p := newProxy(t, h)
	file := filepath.Join(t.TempDir(), "large.raw")
	content := make([]byte, 64<<20)
	for i := range content {
		content[i] = byte(i*31 + i>>12)
	}
	if err := os.WriteFile(file, content, 0o644); err != nil {
		t.Fatal(err)
	}
	w := newWorkspace(t, p.uri(), volumeWith("large", fmt.Sprintf("format = \"raw\"\nsource = { file = %q }", file)))
	slow := func(c call) bool {
		if c.stream {
			time.Sleep(500 * time.Millisecond) // a slow link
		}
		return c.stream
	}
	r := interrupted(t, w, p, slow, 300*time.Millisecond)
	if r.err == nil {
		t.Errorf("the apply went well in spite of Ctrl-C\n%s", r.text())
	}
	t.Log(r.text())
	if left, err := leftovers(h); err != nil || len(left) > 0 {
		t.Errorf("the host holds %v, %v after Ctrl-C; want nothing", left, err)
	}
	w.mustApply()
	w.mustBeDone()
	if got, err := os.ReadFile(strings.TrimSpace(w.attribute("novacron_volume.large", "path"))); err != nil || string(got) != string(content) {
		t.Errorf("the volume has %d bytes, %v; want the file's %d", len(got), err, len(content))
	}
	w.mustDestroy()
}
