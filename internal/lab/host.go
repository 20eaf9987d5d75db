//go:build linux

package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/novacron/terraform-provider-novacron/internal/fault"
)

// stopTimeout is how long an orderly stop may take before everything that is
// left is killed.
const stopTimeout = 30 * time.Second

// Host is a running libvirtd of the lab. Its methods may be called from many
// goroutines, except Stop, which is called once, last.
type Host struct {
	layout
	keeper   process
	lifeline *os.File      // its end ends the host; nil when detached or attached
	exited   chan struct{} // closed when the keeper ended; nil when attached
}

// Socket is the path of libvirtd's read-write Unix socket.
func (h *Host) Socket() string {
	if h.System {
		return filepath.Join(h.Dir, "run", "libvirt-sock")
	}
	return filepath.Join(h.Dir, "run", "libvirt", "libvirt-sock")
}

// URI is a connection URI that reaches the host from any process of this
// machine that may open its socket.
func (h *Host) URI() string {
	path := "session"
	if h.System {
		path = "system"
	}
	return "qemu+unix:///" + path + "?socket=" + h.Socket()
}

// TCPURI is the connection URI of the address that libvirtd listens on, or ""
// when it listens on none.
func (h *Host) TCPURI() string {
	if h.TCP == "" {
		return ""
	}
	return "qemu+tcp://" + h.TCP + "/system"
}

// Images is the directory of the host's storage pool "default".
func (h *Host) Images() string { return filepath.Join(h.Dir, "images") }

// KVM says in a sentence whether guests of the host can use KVM, and why not.
func (h *Host) KVM() string { return h.layout.KVM }

// Subnet returns the first three bytes of an IPv4 network of 256 addresses that
// no other running host uses, for a network of this host: "10.200.7" for n 0,
// others for n up to 3. It is the same for the life of the host.
func (h *Host) Subnet(n int) string {
	i := (h.keeper.PID*4 + n) & 0x3fff
	return fmt.Sprintf("10.%d.%d", 192+i>>8, i&0xff)
}

// Env is the environment in which programs such as virsh and terraform use the
// host by default. For a session host it also makes "qemu:///session" mean
// this host.
func (h *Host) Env() []string {
	env := []string{"LIBVIRT_DEFAULT_URI=" + h.URI()}
	if !h.System {
		env = append(env, sessionEnv(h.Dir)...)
	}
	return env
}

// Credential is the user that clients of a session host run as, for
// SysProcAttr; nil when it is the user of this process.
func (h *Host) Credential() *syscall.Credential {
	if h.System || h.UID == os.Geteuid() {
		return nil
	}
	return &syscall.Credential{Uid: uint32(h.UID), Gid: uint32(h.GID)}
}

// Virsh runs virsh on the host and returns what it printed. The error carries
// what virsh complained about.
func (h *Host) Virsh(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "virsh", append([]string{"--connect", h.URI()}, args...)...)
	cmd.Env = append(append(os.Environ(), h.Env()...), "LC_ALL=C")
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: h.Credential()}
	var out, complaint bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaint
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return out.String(), fmt.Errorf("virsh %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(complaint.String()))
	}
	return out.String(), nil
}

// Restart kills libvirtd as a crash would and returns once a new one answers.
// Guests and networks keep running.
func (h *Host) Restart(ctx context.Context) error {
	if err := h.ask(ctx, verbRestart); err != nil {
		return fmt.Errorf("restart libvirtd: %w", err)
	}
	if err := h.await(ctx); err != nil {
		return fmt.Errorf("restart libvirtd: %w", err)
	}
	return nil
}

// Suspend stops libvirtd from running, as a hang would: connections stay open
// and get no answers.
func (h *Host) Suspend() error { return h.signal(verbSuspend) }

// Resume lets a suspended libvirtd run again.
func (h *Host) Resume() error { return h.signal(verbResume) }

func (h *Host) signal(verb string) error {
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	if err := h.ask(ctx, verb); err != nil {
		return fmt.Errorf("%s libvirtd: %w", verb, err)
	}
	return nil
}

// Processes returns the process IDs of everything that runs for the host:
// keeper, libvirtd, guests, DHCP servers.
func (h *Host) Processes() ([]int, error) {
	if !h.keeper.alive() {
		return nil, nil
	}
	below, err := descendants(h.keeper.PID)
	return append([]int{h.keeper.PID}, below...), err
}

// Stop destroys the guests and networks of the host, ends libvirtd, and
// removes everything that the host made. A host that does not end in order, or
// whose keeper was killed, is ended by force.
func (h *Host) Stop() error {
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	asked := h.ask(ctx, verbStop)
	if fault.KindOf(asked) == fault.Unavailable {
		asked = nil // it has ended or is ending
	}
	late := h.awaitExit(ctx)
	if late != nil {
		late = errors.Join(late, h.kill())
	}
	if h.lifeline != nil {
		h.lifeline.Close()
	}
	if err := errors.Join(asked, late, h.clear()); err != nil {
		return fmt.Errorf("stop the lab host in %s: %w", h.Dir, err)
	}
	return nil
}

// awaitExit returns once the keeper has ended.
func (h *Host) awaitExit(ctx context.Context) error {
	for {
		if !h.keeper.alive() {
			return nil
		}
		select {
		case <-h.exited: // never ready when attached
			return nil
		case <-ctx.Done():
			return fmt.Errorf("the keeper (process %d) does not end: %w", h.keeper.PID, ctx.Err())
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// kill ends the keeper and all below it without asking.
func (h *Host) kill() error {
	below, err := descendants(h.keeper.PID)
	for _, pid := range append(below, h.keeper.PID) {
		_ = syscall.Kill(pid, syscall.SIGKILL) // it may have ended meanwhile
	}
	return err
}

// await returns once libvirtd answers a call.
func (h *Host) await(ctx context.Context) error {
	var last error
	for {
		if err := dial(h.Socket()); err != nil {
			last = err
		} else if _, err := h.Virsh(ctx, "uri"); err != nil {
			last = err
		} else {
			return nil
		}
		if !h.keeper.alive() {
			return fault.Errorf(fault.Unavailable, "the keeper ended: %w", last)
		}
		select {
		case <-ctx.Done():
			return fault.Errorf(fault.Unavailable, "libvirtd does not answer: %w", last)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func dial(socket string) error {
	conn, err := net.Dial("unix", socket)
	if err != nil {
		return err
	}
	return conn.Close()
}

// log returns the end of what keeper and libvirtd said.
func (h *Host) log() string {
	b, err := os.ReadFile(filepath.Join(h.Dir, keeperLog))
	if err != nil {
		return err.Error()
	}
	const most = 4000
	if len(b) > most {
		b = b[len(b)-most:]
	}
	return string(b)
}
