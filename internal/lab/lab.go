//go:build linux

// Package lab starts private libvirtd hosts for tests, benchmarks and the
// demonstration, and leaves nothing of them behind.
//
// A host is a real libvirtd with real QEMU guests and real networks, but with
// configuration, state and sockets of its own, so that any number of hosts run
// beside each other and beside the libvirtd of the machine. A system host (as
// root) lives in its own mount namespace; a session host runs as an ordinary
// user. /dev/kvm is hidden from a system host where KVM cannot run guests,
// because libvirtd probes QEMU again for seconds in nearly every call when the
// device is there and does not work.
//
// Each host has a keeper: this executable started again, which Main turns into
// the parent of libvirtd. The keeper starts libvirtd again when it dies, reaps
// guests at once, and ends everything when the process that started the host
// is gone, however it went.
package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/novacron/terraform-provider-novacron/internal/fault"
	"github.com/novacron/terraform-provider-novacron/internal/kvmprobe"
)

// keeperMark is the variable that tells the executable to be a keeper; its
// value is the host's directory.
const keeperMark = "NOVACRON_LAB_KEEPER"

// maxDir is the longest directory of a host. Sockets below it must stay under
// the 108 bytes that the kernel allows.
const maxDir = 40

// startTimeout is how long a host may take until it answers, on a machine that
// is busy with other things.
const startTimeout = 60 * time.Second

// Main makes the process a keeper when StartHost or StartSession started it as
// one, and then never returns. It returns at once otherwise. Everything that
// starts hosts calls it first, in main or in TestMain.
func Main() {
	if dir := os.Getenv(keeperMark); dir != "" {
		os.Exit(keep(dir))
	}
}

// HostOptions says what kind of host to start. The zero value is a good host.
type HostOptions struct {
	// Dir holds all state of the host; it is created, and what the host put
	// there is removed by Stop. At most 40 bytes long, because sockets live
	// below it. Empty: a new temporary directory.
	Dir string
	// TCP is an address "host:port" on which libvirtd also listens, without
	// authentication; port 0 takes a free one. Empty: none. System hosts only.
	TCP string
	// NetNS names a network namespace to create for the host and delete with
	// it, so that its networks meet no other host's. Empty: the network of
	// the machine. System hosts only.
	NetNS string
	// Detached hosts outlive the process that starts them; Attach finds them
	// again.
	Detached bool
}

// StartHost starts a private system libvirtd; only root may. It returns once
// libvirtd answers.
func StartHost(ctx context.Context, o HostOptions) (*Host, error) {
	if os.Geteuid() != 0 {
		return nil, fault.WithHint(fault.Errorf(fault.Denied, "start a lab host: only root can run a system libvirtd"),
			"Start a session host instead, or run this as root.")
	}
	return start(ctx, o, layout{System: true})
}

// StartSession starts a private session libvirtd of the calling user, or, for
// root, of the unprivileged user nobody. It returns once libvirtd answers.
func StartSession(ctx context.Context, o HostOptions) (*Host, error) {
	if o.TCP != "" || o.NetNS != "" {
		return nil, fault.Errorf(fault.Unsupported, "start a session lab host: TCP and NetNS are for system hosts")
	}
	l := layout{UID: os.Geteuid(), GID: os.Getegid()}
	if l.UID == 0 {
		u, err := user.Lookup("nobody")
		if err != nil {
			return nil, fmt.Errorf("start a session lab host: %w", err)
		}
		l.UID, _ = strconv.Atoi(u.Uid) // numeric on Linux
		l.GID, _ = strconv.Atoi(u.Gid)
	}
	return start(ctx, o, l)
}

// ForTest starts a system host for one test and stops it when the test ends.
func ForTest(t testing.TB) *Host {
	t.Helper()
	h, err := StartHost(t.Context(), HostOptions{})
	if err != nil {
		t.Fatalf("StartHost: %v", err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("libvirtd said:\n%s", h.log())
		}
		if err := h.Stop(); err != nil {
			t.Errorf("Stop: %v", err)
		}
	})
	return h
}

// Attach returns the running host of a directory. A directory without one is
// fault.NotFound; Remove clears away what a host that ended left there.
func Attach(dir string) (*Host, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("attach to the lab host: %w", err)
	}
	l, err := readLayout(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fault.Errorf(fault.NotFound, "attach to the lab host: %s holds none", dir)
	}
	if err != nil {
		return nil, fmt.Errorf("attach to the lab host in %s: %w", dir, err)
	}
	h := &Host{layout: l}
	if h.keeper, err = readKeeper(dir); err != nil || !h.keeper.alive() {
		return nil, fault.Errorf(fault.NotFound, "attach to the lab host: the one in %s no longer runs", dir)
	}
	return h, nil
}

// start prepares the directory, starts the keeper and waits for libvirtd.
func start(ctx context.Context, o HostOptions, l layout) (*Host, error) {
	if os.Getenv(keeperMark) != "" {
		return nil, errors.New("start a lab host: this process is a keeper itself; lab.Main() must be called first in main or TestMain")
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	if err := l.fill(ctx, o); err != nil {
		return nil, fmt.Errorf("start a lab host: %w", err)
	}
	h := &Host{layout: l}
	err := l.write()
	if err == nil {
		err = h.startKeeper()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start a lab host: %w", err), h.remove())
	}
	if err := h.await(ctx); err != nil {
		err = fmt.Errorf("start a lab host: %w\n%s", err, h.log())
		return nil, errors.Join(err, h.Stop())
	}
	return h, nil
}

// fill decides everything about the host that the options leave open.
func (l *layout) fill(ctx context.Context, o HostOptions) (err error) {
	l.NetNS, l.Detached = o.NetNS, o.Detached
	if o.TCP != "" {
		if l.TCP, err = resolveTCP(o.TCP); err != nil {
			return err
		}
	}
	if l.System {
		r := kvmprobe.Probe(ctx)
		l.HideKVM, l.KVM = !r.Usable, r.Reason
	}
	if o.Dir == "" {
		l.OwnDir = true
		if l.Dir, err = os.MkdirTemp("/var/tmp", "nvl-"); err != nil {
			return err
		}
	} else if l.Dir, err = filepath.Abs(o.Dir); err != nil {
		return err
	}
	if len(l.Dir) > maxDir {
		return fault.Errorf(fault.Invalid, "the directory %s is longer than %d bytes: sockets below it would be too long", l.Dir, maxDir)
	}
	err = Remove(l.Dir)
	if errors.Is(err, fault.Busy) {
		return fault.WithHint(fault.Errorf(fault.Conflict, "a host runs in %s already", l.Dir), "Stop it first.")
	}
	return err
}

// resolveTCP replaces port 0 by a port that is free now.
func resolveTCP(address string) (string, error) {
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return "", fault.Errorf(fault.Invalid, "TCP address %q: %w", address, err)
	}
	if port != "0" {
		return address, nil
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// startKeeper starts this executable again as the keeper of the host.
func (h *Host) startKeeper() error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	command := []string{self}
	if h.NetNS != "" {
		if err := addNetNS(h.NetNS); err != nil {
			return err
		}
		command = []string{"ip", "netns", "exec", h.NetNS, self}
	}
	log, err := os.OpenFile(filepath.Join(h.Dir, keeperLog), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Env = append(os.Environ(), keeperMark+"="+h.Dir)
	cmd.Dir, cmd.Stdout, cmd.Stderr = "/", log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if h.System {
		cmd.SysProcAttr.Unshareflags = unix.CLONE_NEWNS
	}
	if !h.Detached {
		r, w, err := os.Pipe()
		if err != nil {
			return err
		}
		defer r.Close()
		cmd.ExtraFiles, h.lifeline = []*os.File{r}, w
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	h.exited = make(chan struct{})
	go func() {
		_ = cmd.Wait() // its end is told by its log
		close(h.exited)
	}()
	h.keeper, err = identify(cmd.Process.Pid)
	return err
}

// addNetNS creates a network namespace with a working loopback device.
func addNetNS(name string) error {
	for _, args := range [][]string{{"netns", "add", name}, {"-n", name, "link", "set", "lo", "up"}} {
		if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
			return fmt.Errorf("create network namespace %s: %w: %s", name, err, strings.TrimSpace(string(out)))
		}
	}
	return nil
}

// layout is everything that host and keeper must agree on; it is kept as a
// file in the host's directory.
type layout struct {
	Dir      string
	OwnDir   bool // Dir was created for the host and goes with it
	System   bool
	UID, GID int // of a session host
	TCP      string
	NetNS    string
	Detached bool
	HideKVM  bool
	KVM      string // what the probe said
}

func readLayout(dir string) (l layout, err error) {
	b, err := os.ReadFile(filepath.Join(dir, layoutFile))
	if err != nil {
		return l, err
	}
	return l, json.Unmarshal(b, &l)
}
