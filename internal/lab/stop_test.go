//go:build linux

package lab

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"libvirt.org/go/libvirtxml"

	"github.com/novacron/terraform-provider-novacron/internal/fault"
)

// traces returns what is left of a host: processes, mounts of this namespace,
// bridges, files.
func traces(t *testing.T, pids []int, bridge, dir string) (left []string) {
	t.Helper()
	for _, pid := range pids {
		if s, err := readStat(pid); err == nil && s.state != 'Z' {
			command, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
			left = append(left, fmt.Sprintf("process %d %q", pid, command))
		}
	}
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(mounts), dir) {
		left = append(left, "a mount of "+dir)
	}
	if _, err := os.Stat("/sys/class/net/" + bridge); err == nil {
		left = append(left, "bridge "+bridge)
	}
	if _, err := os.Stat(dir); err == nil {
		left = append(left, dir)
	}
	return left
}

// populate gives the host a network and a guest, and returns what traces needs.
func populate(t *testing.T, h *Host) (pids []int, bridge string) {
	t.Helper()
	n := nat(h.Subnet(0))
	virsh(t, h, "net-create", file(t, n))
	virsh(t, h, "create", tiny(t, "one"))
	for line := range strings.Lines(virsh(t, h, "net-info", "lan")) {
		if rest, ok := strings.CutPrefix(line, "Bridge:"); ok {
			bridge = strings.TrimSpace(rest)
		}
	}
	pids, err := h.Processes()
	if err != nil {
		t.Fatal(err)
	}
	// Control: all of it is seen while the host runs.
	if left := traces(t, pids, bridge, h.Dir); len(pids) < 5 || len(left) != len(pids)+2 {
		t.Fatalf("while the host runs, traces = %q, want %d processes (5 or more), a bridge and a directory", left, len(pids))
	}
	return pids, bridge
}

func TestStopLeavesNothing(t *testing.T) {
	cases := []struct {
		name   string
		before func(h *Host, pids []int) error
	}{
		{"in order", func(*Host, []int) error { return nil }},
		{"with libvirtd suspended", func(h *Host, _ []int) error { return h.Suspend() }},
		{"with everything below the keeper suspended", func(_ *Host, pids []int) error { return signalAll(pids[1:], syscall.SIGSTOP) }},
		{"after libvirtd was killed", func(h *Host, _ []int) error { return h.Restart(context.Background()) }},
		{"after the keeper was killed", func(_ *Host, pids []int) error { return signalAll(pids[:1], syscall.SIGKILL) }},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			h, err := StartHost(t.Context(), HostOptions{})
			if err != nil {
				t.Fatal(err)
			}
			pids, bridge := populate(t, h)
			if err := c.before(h, pids); err != nil {
				t.Error(err)
			}
			started := time.Now()
			if err := h.Stop(); err != nil {
				t.Errorf("Stop: %v", err)
			}
			t.Logf("%6.3fs Stop", time.Since(started).Seconds())
			if left := traces(t, pids, bridge, h.Dir); len(left) > 0 {
				t.Errorf("left after Stop: %q", left)
			}
		})
	}
}

func signalAll(pids []int, sig syscall.Signal) (err error) {
	for _, pid := range pids {
		err = errors.Join(err, syscall.Kill(pid, sig))
	}
	return err
}

func TestStopKeepsWhatOthersPutIntoTheDirectory(t *testing.T) {
	dir, err := os.MkdirTemp("/var/tmp", "nvd-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	mine := filepath.Join(dir, "mine")
	if err := os.WriteFile(mine, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	h, err := StartHost(t.Context(), HostOptions{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := StartHost(t.Context(), HostOptions{Dir: dir}); !errors.Is(err, fault.Conflict) {
		t.Errorf("StartHost in the directory of a running host = %v, want %v", err, fault.Conflict)
	}
	if err := h.Stop(); err != nil {
		t.Error(err)
	}
	left, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(left) != 1 || left[0] != mine {
		t.Errorf("left in the directory: %v, %v; want only %s", left, err, mine)
	}
}

// startAndWait is the body of a process of its own: it starts a host, prints
// its directory and waits to be killed.
const startAndWait = "NOVACRON_LAB_TEST_START"

func TestStarterForOtherTests(t *testing.T) {
	mode := os.Getenv(startAndWait)
	if mode == "" {
		return // only the tests below run it, as a process of its own
	}
	h, err := StartHost(t.Context(), HostOptions{Detached: mode == "detached"})
	if err != nil {
		t.Fatal(err)
	}
	fmt.Println("DIR", h.Dir)
	if mode == "detached" {
		return
	}
	select {}
}

// elsewhere starts a host in another process.
func elsewhere(t *testing.T, mode string) (dir string, cmd *exec.Cmd) {
	t.Helper()
	cmd = exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestStarterForOtherTests$", "-test.v")
	cmd.Env = append(os.Environ(), startAndWait+"="+mode)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for s := bufio.NewScanner(out); s.Scan(); {
		if d, ok := strings.CutPrefix(s.Text(), "DIR "); ok {
			return d, cmd
		}
	}
	t.Fatal("the other process started no host")
	return "", nil
}

func TestAKilledStarterLeavesNothing(t *testing.T) {
	dir, cmd := elsewhere(t, "attached")
	h, err := Attach(dir)
	if err != nil {
		t.Fatal(err)
	}
	pids, bridge := populate(t, h)
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // it was killed
	var left []string
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if left = traces(t, pids, bridge, dir); len(left) == 0 {
			return
		}
	}
	t.Errorf("left 20s after the starter was killed: %q", left)
}

func TestADetachedHostWhoseKeeperWasKilledIsClearedAway(t *testing.T) {
	dir, cmd := elsewhere(t, "detached")
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	h, err := Attach(dir)
	if err != nil {
		t.Fatal(err)
	}
	pids, bridge := populate(t, h)
	if err := Remove(dir); !errors.Is(err, fault.Busy) {
		t.Errorf("Remove of a running host = %v, want %v", err, fault.Busy)
	}
	if err := syscall.Kill(pids[0], syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	for h.keeper.alive() {
		time.Sleep(time.Millisecond)
	}
	if _, err := Attach(dir); !errors.Is(err, fault.NotFound) {
		t.Errorf("Attach without a keeper = %v, want %v", err, fault.NotFound)
	}
	for range 2 {
		if err := Remove(dir); err != nil {
			t.Error(err)
		}
	}
	if left := traces(t, pids, bridge, dir); len(left) > 0 {
		t.Errorf("left after Remove: %q", left)
	}
}

func TestADetachedHostIsFoundAgain(t *testing.T) {
	dir, cmd := elsewhere(t, "detached")
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	h, err := Attach(dir)
	if err != nil {
		t.Fatal(err)
	}
	pids, bridge := populate(t, h)
	if err := h.Restart(t.Context()); err != nil {
		t.Error(err)
	}
	if err := h.Stop(); err != nil {
		t.Error(err)
	}
	if left := traces(t, pids, bridge, dir); len(left) > 0 {
		t.Errorf("left after Stop: %q", left)
	}
	if _, err := Attach(dir); !errors.Is(err, fault.NotFound) {
		t.Errorf("Attach after Stop = %v, want %v", err, fault.NotFound)
	}
}

func TestSuspendedLibvirtdAcceptsAndDoesNotAnswer(t *testing.T) {
	h := ForTest(t)
	if err := h.Suspend(); err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("unix", h.Socket())
	if err != nil {
		t.Fatalf("connect to a suspended libvirtd: %v, want the kernel to accept it", err)
	}
	conn.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if _, err := h.Virsh(ctx, "list"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("virsh list on a suspended libvirtd: %v, want no answer within 1s", err)
	}
	if err := h.Resume(); err != nil {
		t.Fatal(err)
	}
	virsh(t, h, "list")
}

func TestHostsBesideEachOther(t *testing.T) {
	a, b := ForTest(t), ForTest(t)
	pids, bridge := populate(t, a)
	_, other := populate(t, b)
	if bridge == other {
		t.Errorf("both hosts use bridge %s", bridge)
	}
	if err := b.Restart(t.Context()); err != nil {
		t.Error(err)
	}
	if got := traces(t, pids, bridge, a.Dir); len(got) != len(pids)+2 {
		t.Errorf("the first host has %q left, want all of it untouched by the second", got)
	}
}

func TestHostInANetworkNamespaceListensOnTCPThere(t *testing.T) {
	name := fmt.Sprintf("nvl%d", os.Getpid())
	h, err := StartHost(t.Context(), HostOptions{NetNS: name, TCP: "0.0.0.0:16509"})
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), "ip", "netns", "exec", name, "virsh", "--connect", "qemu+tcp://127.0.0.1/system", "uri").CombinedOutput(); err != nil {
		t.Errorf("virsh over TCP inside: %v: %s", err, out)
	}
	n := nat(h.Subnet(0))
	n.Bridge = &libvirtxml.NetworkBridge{Name: "nvl-inside"}
	virsh(t, h, "net-create", file(t, n))
	if _, err := os.Stat("/sys/class/net/nvl-inside"); err == nil {
		t.Error("the bridge of the host is on the machine, want it in the namespace only")
	}
	if err := exec.CommandContext(t.Context(), "ip", "-n", name, "link", "show", "nvl-inside").Run(); err != nil {
		t.Errorf("the bridge of the host is not in the namespace: %v", err)
	}
	if err := h.Stop(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat("/run/netns/" + name); err == nil {
		t.Errorf("network namespace %s is left after Stop", name)
	}
}

func TestHostListensOnAFreeTCPPort(t *testing.T) {
	h, err := StartHost(t.Context(), HostOptions{TCP: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	defer h.Stop()
	if out, err := exec.CommandContext(t.Context(), "virsh", "--connect", h.TCPURI(), "uri").CombinedOutput(); err != nil {
		t.Errorf("virsh --connect %s: %v: %s", h.TCPURI(), err, out)
	}
}

func TestAHostWhoseLibvirtdDoesNotStaySaysWhyAndLeavesNothing(t *testing.T) {
	dir := filepath.Join("/var/tmp", fmt.Sprintf("nvf-%d", os.Getpid()))
	// 192.0.2.0/24 is for documentation: no interface has such an address.
	h, err := StartHost(t.Context(), HostOptions{Dir: dir, TCP: "192.0.2.254:16509"})
	if err == nil {
		t.Error(errors.Join(errors.New("StartHost on an address that is not ours succeeded"), h.Stop()))
	} else if !strings.Contains(err.Error(), "Unable to bind to port") {
		t.Errorf("StartHost = %v, want what libvirtd said about the address", err)
	}
	if left := traces(t, nil, "none", dir); len(left) > 0 {
		t.Errorf("left after a failed start: %q", left)
	}
}

func TestBadOptionsAreRefused(t *testing.T) {
	cases := []struct {
		name  string
		start func(context.Context, HostOptions) (*Host, error)
		o     HostOptions
		kind  fault.Kind
	}{
		{"a directory too long for sockets", StartHost, HostOptions{Dir: "/var/tmp/" + strings.Repeat("x", maxDir)}, fault.Invalid},
		{"a TCP address without a port", StartHost, HostOptions{TCP: "localhost"}, fault.Invalid},
		{"TCP for a session", StartSession, HostOptions{TCP: "127.0.0.1:0"}, fault.Unsupported},
		{"a network namespace for a session", StartSession, HostOptions{NetNS: "x"}, fault.Unsupported},
	}
	for _, c := range cases {
		if h, err := c.start(t.Context(), c.o); !errors.Is(err, c.kind) {
			t.Errorf("%s: start = %v, %v; want %v", c.name, h, err, c.kind)
		}
	}
}

// The starter is an ordinary user here, so that nothing can need root.
func TestAnOrdinaryUserStartsASession(t *testing.T) {
	dir, err := os.MkdirTemp("", "lab")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	self, err := os.ReadFile(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	exe := filepath.Join(dir, "lab.test")
	if err := os.WriteFile(exe, self, 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), exe, "-test.run=^TestSessionHostRunsGuestsOfAnOrdinaryUser$", "-test.v")
	cmd.Dir = "/"
	cmd.Env = append(os.Environ(), "HOME=/nonexistent")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS") {
		t.Errorf("as nobody: %v\n%s", err, out)
	}
}
