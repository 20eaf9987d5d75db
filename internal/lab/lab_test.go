//go:build linux

package lab

import (
	"context"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"libvirt.org/go/libvirtxml"
)

// tiny is a guest without firmware to wait for, disk or kernel: it only
// occupies a QEMU process.
func tiny(t *testing.T, name string) string {
	t.Helper()
	d := libvirtxml.Domain{
		Type: "qemu", Name: name,
		Memory: &libvirtxml.DomainMemory{Value: 32, Unit: "MiB"},
		VCPU:   &libvirtxml.DomainVCPU{Value: 1},
		OS:     &libvirtxml.DomainOS{Type: &libvirtxml.DomainOSType{Arch: "x86_64", Machine: "pc", Type: "hvm"}},
	}
	x, err := d.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "lab")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil { // a session host reads it as another user
		t.Fatal(err)
	}
	path := dir + "/" + name + ".xml"
	if err := os.WriteFile(path, []byte(x), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func virsh(t *testing.T, h *Host, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	started := time.Now()
	out, err := h.Virsh(ctx, args...)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%6.3fs virsh %s", time.Since(started).Seconds(), strings.Join(args, " "))
	return out
}

func TestGuestsStartFastAndSurviveACrashOfLibvirtd(t *testing.T) {
	started := time.Now()
	h := ForTest(t)
	t.Logf("%6.3fs StartHost; %s", time.Since(started).Seconds(), h.KVM())
	virsh(t, h, "define", tiny(t, "one"))
	for range 2 {
		started = time.Now()
		virsh(t, h, "start", "one")
		virsh(t, h, "destroy", "one")
	}
	if took := time.Since(started); took > 2*time.Second {
		t.Errorf("the second start and destroy took %v, want less than a second each: does libvirtd probe QEMU again?", took)
	}
	virsh(t, h, "start", "one")
	if err := h.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := strings.TrimSpace(virsh(t, h, "domstate", "one")); got != "running" {
		t.Errorf("the guest is %s after libvirtd was killed, want running", got)
	}
}

func TestHostHasTheDefaultPoolAndNoNetwork(t *testing.T) {
	h := ForTest(t)
	if got, want := strings.Fields(virsh(t, h, "pool-list", "--autostart", "--name")), "default"; len(got) != 1 || got[0] != want {
		t.Errorf("pools = %v, want only %s, started by itself", got, want)
	}
	if out := virsh(t, h, "net-list", "--all", "--name"); strings.TrimSpace(out) != "" {
		t.Errorf("networks = %q, want none", out)
	}
	virsh(t, h, "vol-create-as", "default", "disk.qcow2", "1MiB", "--format", "qcow2")
	if _, err := os.Stat(h.Images() + "/disk.qcow2"); err != nil {
		t.Errorf("a new volume of the pool: %v", err)
	}
}

func TestSessionHostRunsGuestsOfAnOrdinaryUser(t *testing.T) {
	h, err := StartSession(t.Context(), HostOptions{})
	if err != nil {
		t.Fatalf("StartSession: %v", err)
	}
	t.Cleanup(func() {
		if err := h.Stop(); err != nil {
			t.Errorf("Stop: %v", err)
		}
	})
	virsh(t, h, "create", tiny(t, "one"))
	virsh(t, h, "pool-info", "default")
	pids, err := h.Processes()
	if err != nil || len(pids) < 3 {
		t.Fatalf("Processes = %v, %v; want the keeper, libvirtd and a guest", pids, err)
	}
	for _, pid := range pids[1:] {
		st, err := os.Stat(fmt.Sprintf("/proc/%d", pid))
		if err != nil {
			t.Fatal(err)
		}
		if uid := int(st.Sys().(*syscall.Stat_t).Uid); uid == 0 || uid != h.UID {
			t.Errorf("process %d runs as %d, want the ordinary user %d", pid, uid, h.UID)
		}
	}
}
