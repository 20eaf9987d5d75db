//go:build linux

package collect

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/novacron/terraform-provider-novacron/internal/fault"
	"github.com/novacron/terraform-provider-novacron/internal/lab"
	"github.com/novacron/terraform-provider-novacron/internal/sample"
)

func TestMain(m *testing.M) {
	lab.Main()
	os.Exit(m.Run())
}

// tinyGuest is a domain that stops before its first instruction: a QEMU process
// with a disk and an interface in user mode.
const tinyGuest = `<domain type='qemu'><name>%s</name><memory unit='MiB'>16</memory><vcpu>1</vcpu>
<os><type arch='x86_64' machine='pc'>hvm</type></os><devices>
<disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='%s'/><target dev='vda' bus='virtio'/></disk>
<interface type='user'><model type='virtio'/></interface><memballoon model='virtio'/></devices></domain>`

// startTiny starts paused domains of these names.
func startTiny(t *testing.T, h *lab.Host, names ...string) {
	t.Helper()
	for _, name := range names {
		disk, def := filepath.Join(h.Images(), name+".img"), filepath.Join(t.TempDir(), name+".xml")
		if err := errors.Join(os.WriteFile(disk, make([]byte, 1<<20), 0o666), os.WriteFile(def, fmt.Appendf(nil, tinyGuest, name, disk), 0o644)); err != nil {
			t.Fatal(err)
		}
		if _, err := h.Virsh(t.Context(), "create", "--paused", def); err != nil {
			t.Fatal(err)
		}
	}
}

// qemu returns the process of a domain.
func qemu(t *testing.T, h *lab.Host, name string) int {
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

func newReal(t *testing.T, h *lab.Host, timeout time.Duration) *Collector {
	t.Helper()
	c, err := New(Options{URI: h.URI(), ReadOnly: true, Timeout: timeout})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func gatherReal(ctx context.Context, c *Collector) (out batch, took time.Duration, err error) {
	start := time.Now()
	err = c.Gather(ctx, start, func(s sample.Sample) { out = append(out, s) })
	return out, time.Since(start), err
}

func TestAStoppedQEMUCostsOnlyItsOwnMetrics(t *testing.T) {
	h := lab.ForTest(t)
	startTiny(t, h, "one", "two", "three")
	c := newReal(t, h, 5*time.Second)
	b, _, err := gatherReal(t.Context(), c)
	if err != nil {
		t.Fatalf("Gather = %v", err)
	}
	b.check(t, "novacron_block", []string{"domain=two", "device=vda"}, map[string]any{"capacity_bytes": uint64(1 << 20), "rd_reqs": uint64(0)})
	b.check(t, "novacron_domain", []string{"domain=two"}, map[string]any{"state": "paused", "hung": int64(0)})

	pid := qemu(t, h, "two")
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	defer syscall.Kill(pid, syscall.SIGCONT)
	for i := range 3 {
		b, took, err := gatherReal(t.Context(), c)
		t.Logf("gather %d with a stopped QEMU took %v", i, took)
		if err != nil || took > 3*time.Second || i > 0 && took > time.Second {
			t.Errorf("gather %d = %v in %v, want no error and a wait of a second once", i, err, took)
		}
		b.check(t, "novacron_domain", []string{"domain=two"}, map[string]any{"state": "paused", "hung": int64(1)})
		b.check(t, "novacron_block", []string{"domain=two"}, map[string]any{"rd_reqs": nil})
		for _, name := range []string{"domain=one", "domain=three"} {
			b.check(t, "novacron_domain", []string{name}, map[string]any{"hung": int64(0)})
			b.check(t, "novacron_block", []string{name}, map[string]any{"rd_reqs": uint64(0), "rd_reqs_per_sec": 0.0})
			if b.value("novacron_memory", "rss_bytes", name) == nil || b.value("novacron_cpu", "usage_percent", name) == nil {
				t.Errorf("gather %d: memory or CPU of %s is missing", i, name)
			}
		}
	}
	if err := syscall.Kill(pid, syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	time.Sleep(200 * time.Millisecond)
	b, _, err = gatherReal(t.Context(), c)
	if err != nil {
		t.Errorf("Gather after it went on = %v", err)
	}
	b.check(t, "novacron_domain", []string{"domain=two"}, map[string]any{"hung": int64(0)})
	b.check(t, "novacron_block", []string{"domain=two"}, map[string]any{"rd_reqs": uint64(0)})
}

func TestRestartsOfLibvirtdAreSurvivedAndLeakNothing(t *testing.T) {
	h := lab.ForTest(t)
	startTiny(t, h, "one")
	c := newReal(t, h, 5*time.Second)
	up := func(when string) {
		t.Helper()
		b, _, err := gatherReal(t.Context(), c)
		if err != nil {
			t.Fatalf("Gather %s = %v", when, err)
		}
		b.check(t, "novacron_host", nil, map[string]any{"up": int64(1)})
		// A libvirtd that has just started needs a moment to find its QEMU again.
		for end := time.Now().Add(10 * time.Second); b.value("novacron_block", "rd_reqs", "domain=one") == nil; {
			if time.Now().After(end) {
				t.Fatalf("the disk of the domain has no metrics 10 s %s", when)
			}
			time.Sleep(50 * time.Millisecond)
			if b, _, err = gatherReal(t.Context(), c); err != nil {
				t.Fatalf("Gather %s = %v", when, err)
			}
		}
	}
	up("at first")
	files := openFiles(t)
	for range 3 { // between gathers
		if err := h.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
		up("after a restart")
	}
	gathers, failed := restartDuring(t, h, c)
	t.Logf("%d gathers during restarts, %d failed", gathers, failed)
	if err := h.Suspend(); err != nil {
		t.Fatal(err)
	}
	b, took, err := gatherReal(t.Context(), c)
	if !errors.Is(err, fault.Unavailable) || took > 7*time.Second {
		t.Errorf("Gather of a libvirtd that hangs = %v in %v, want fault.Unavailable within its timeout", err, took)
	}
	b.check(t, "novacron_host", nil, map[string]any{"up": int64(0), "reason": "unavailable"})
	if err := h.Resume(); err != nil {
		t.Fatal(err)
	}
	up("after libvirtd went on")
	if open := c.src.Usage().Open; open > inFlight {
		t.Errorf("%d connections are open, want at most %d", open, inFlight)
	}
	if n := openFiles(t); n > files+inFlight {
		t.Errorf("%d files are open, %d before the restarts: connections leak", n, files)
	}
	c.Close()
	if open := c.src.Usage().Open; open != 0 {
		t.Errorf("%d connections are open after Close, want 0", open)
	}
}

// restartDuring gathers without pause while libvirtd restarts twice.
func restartDuring(t *testing.T, h *lab.Host, c *Collector) (gathers, failed int) {
	t.Helper()
	ctx, done := context.WithCancel(t.Context())
	restarted := make(chan error, 1)
	go func() {
		defer done()
		restarted <- errors.Join(h.Restart(t.Context()), h.Restart(t.Context()))
	}()
	for ctx.Err() == nil {
		b, _, err := gatherReal(t.Context(), c)
		gathers++
		time.Sleep(5 * time.Millisecond) // a host that is down fails at once
		if err != nil {
			failed++
		}
		if b.value("novacron_collector", "gathers") == nil {
			t.Error("a gather said nothing about itself")
		}
	}
	if err := <-restarted; err != nil {
		t.Fatal(err)
	}
	return gathers, failed
}

func openFiles(t *testing.T) int {
	t.Helper()
	es, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(es)
}

func TestASessionHostIsCollectedAsFarAsItKnowsItself(t *testing.T) {
	h, err := lab.StartSession(t.Context(), lab.HostOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Stop(); err != nil {
			t.Error(err)
		}
	})
	dir := h.Dir
	def, disk := filepath.Join(dir, "s.xml"), filepath.Join(dir, "s.img")
	if err := errors.Join(os.WriteFile(disk, make([]byte, 1<<20), 0o666), os.WriteFile(def, fmt.Appendf(nil, tinyGuest, "s", disk), 0o644)); err != nil {
		t.Fatal(err)
	}
	if cred := h.Credential(); cred != nil {
		if err := os.Chown(disk, int(cred.Uid), int(cred.Gid)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := h.Virsh(t.Context(), "create", "--paused", def); err != nil {
		t.Fatal(err)
	}
	c := newReal(t, h, 5*time.Second)
	b, _, err := gatherReal(t.Context(), c)
	if err != nil {
		t.Fatalf("Gather = %v", err)
	}
	b.check(t, "novacron_domain", []string{"domain=s"}, map[string]any{"state": "paused", "active": int64(1)})
	b.check(t, "novacron_block", []string{"domain=s", "device=vda"}, map[string]any{"capacity_bytes": uint64(1 << 20)})
	b.check(t, "novacron_host", nil, map[string]any{"up": int64(1), "domains": uint64(1), "vcpus_committed": uint64(1)})
	if got := b.value("novacron_net", "rx_bytes"); got != nil {
		t.Errorf("an interface in user mode has rx_bytes = %v, want none", got)
	}
}
