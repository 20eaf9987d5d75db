//go:build linux

package libvirtconn

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	libvirt "github.com/digitalocean/go-libvirt"

	"github.com/novacron/terraform-provider-novacron/internal/fault"
)

// sessionMark makes the test binary a program that calls its user's daemon once.
const sessionMark = "NOVACRON_TEST_SESSION"

// sessionProgram is that program.
func sessionProgram() {
	if os.Getenv(sessionMark) == "" {
		return
	}
	c, err := New(Options{URI: "qemu:///session"})
	if err == nil {
		err = c.Do(context.Background(), func(l *libvirt.Libvirt) error {
			uri, err := l.ConnectGetUri()
			fmt.Print(uri)
			return err
		})
	}
	if err != nil {
		fmt.Print(err, " ", fault.HintOf(err))
		os.Exit(1)
	}
	os.Exit(0)
}

// ordinary is an ordinary user with a home of its own: nobody when the tests
// run as root, else the user that runs them.
type ordinary struct {
	t    *testing.T
	home string
	uid  int
	prog string
}

func newOrdinary(t *testing.T) *ordinary {
	t.Helper()
	home, err := os.MkdirTemp("/var/tmp", "nvs-")
	if err != nil {
		t.Fatal(err)
	}
	o := &ordinary{t: t, home: home, uid: os.Geteuid(), prog: filepath.Join(home, "prog")}
	t.Cleanup(func() {
		for _, pid := range o.daemons() {
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
				t.Errorf("kill daemon %d: %v", pid, err)
			}
		}
		if err := os.RemoveAll(home); err != nil {
			t.Error(err)
		}
	})
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	src, err := os.Open(self)
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	dst, err := os.OpenFile(o.prog, os.O_CREATE|os.O_WRONLY, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(dst, src); err != nil {
		t.Fatal(err)
	}
	dst.Close()
	if o.uid == 0 {
		o.uid = 65534
		if err := os.Chown(home, o.uid, o.uid); err != nil {
			t.Fatal(err)
		}
	}
	return o
}

// run runs a program as the user and returns what it printed.
func (o *ordinary) run(name string, args ...string) (string, error) {
	cmd := exec.CommandContext(o.t.Context(), name, args...)
	cmd.Env = []string{sessionMark + "=1", "HOME=" + o.home, "XDG_RUNTIME_DIR=" + o.home + "/run", "PATH=/usr/bin:/bin", "SECRET=hunter2"}
	cmd.Dir = o.home
	if os.Geteuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(o.uid), Gid: uint32(o.uid)}}
	}
	out, err := cmd.CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

// daemons returns the session daemons of the user's home.
func (o *ordinary) daemons() (pids []int) {
	comms, _ := filepath.Glob("/proc/[0-9]*/comm")
	for _, path := range comms {
		b, _ := os.ReadFile(path)
		environ, _ := os.ReadFile(filepath.Join(filepath.Dir(path), "environ"))
		if strings.TrimSpace(string(b)) == "libvirtd" && strings.Contains(string(environ), o.home+"/run") {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
			pids = append(pids, pid)
		}
	}
	return pids
}

func TestSessionDaemonIsStartedOnce(t *testing.T) {
	o := newOrdinary(t)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			if out, err := o.run(o.prog); err != nil || out != "qemu:///session" {
				t.Errorf("a program of ours = %q, %v; want qemu:///session", out, err)
			}
		})
		wg.Go(func() {
			if out, err := o.run("virsh", "-c", "qemu:///session", "uri"); err != nil || out != "qemu:///session" {
				t.Errorf("virsh beside it = %q, %v; want qemu:///session", out, err)
			}
		})
	}
	wg.Wait()
	pids := o.daemons()
	if len(pids) != 1 {
		t.Fatalf("daemons %v run, want one", pids)
	}

	// A daemon that crashed leaves its socket; ours is then started in its place.
	if err := syscall.Kill(pids[0], syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	for range 100 {
		if len(o.daemons()) == 0 {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	if out, err := o.run(o.prog); err != nil || out != "qemu:///session" {
		t.Fatalf("after a crash of the daemon = %q, %v; want qemu:///session", out, err)
	}
	pids = o.daemons()
	if len(pids) != 1 {
		t.Fatalf("daemons %v run after the crash, want one", pids)
	}
	environ, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pids[0]))
	if err != nil || strings.Contains(string(environ), "hunter2") {
		t.Errorf("the daemon's environment is %q, %v; want it without our secrets", environ, err)
	}
	if sid, err := getsid(pids[0]); err != nil || sid != pids[0] {
		t.Errorf("the daemon is in session %d, %v; want one of its own, so that it outlives us", sid, err)
	}
}

func getsid(pid int) (int, error) {
	sid, _, errno := syscall.RawSyscall(syscall.SYS_GETSID, uintptr(pid), 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(sid), nil
}

func TestSessionDaemonThatCannotBeStarted(t *testing.T) {
	u, err := ParseURI("qemu:///session")
	if err != nil {
		t.Fatal(err)
	}
	script := filepath.Join(t.TempDir(), "libvirtd")
	if err := os.WriteFile(script, []byte("#!/bin/sh\nexec sleep 2\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	cases := []struct {
		name       string
		vars       map[string]string
		before     func(t *testing.T, dir string)
		text, hint string
	}{
		{"the program is missing", nil, nil, "program libvirtd or virtqemud is not installed", "install package libvirt-daemon"},
		{"the program cannot run", map[string]string{"LIBVIRTD_PATH": "/nonexistent/libvirtd"}, nil, "start session daemon /nonexistent/libvirtd", "--version"},
		{"it ends at once", map[string]string{"LIBVIRTD_PATH": "/bin/false"}, nil, "session daemon /bin/false ended at once (exit status 1)", "by hand"},
		{"it never listens", map[string]string{"LIBVIRTD_PATH": script}, nil, "start session daemon " + script, "by hand"},
		{"another process never gets it started", map[string]string{"LIBVIRTD_PATH": script}, func(t *testing.T, dir string) {
			unlock, err := lock(t.Context(), filepath.Join(dir, "libvirtd.lock"))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(unlock)
		}, "wait for another process that starts the session daemon", "fuser"},
		{"the user forbids it", map[string]string{"LIBVIRT_AUTOSTART": "0", "LIBVIRTD_PATH": "/bin/false"}, nil, "is not running or not installed", ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			run := t.TempDir()
			dir := filepath.Join(run, "libvirt")
			if err := os.Mkdir(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			vars := map[string]string{"XDG_RUNTIME_DIR": run}
			for k, v := range c.vars {
				vars[k] = v
			}
			if c.before != nil {
				c.before(t, dir)
			}
			cl := newClient(t, Options{URI: "qemu:///session", DialTimeout: time.Second})
			cl.dialer = unixDialer{uri: u, env: user(1000, vars)}
			err := cl.Do(t.Context(), version)
			wantKind(t, "Do", err, fault.Unavailable, c.text)
			if !strings.Contains(fault.HintOf(err), c.hint) {
				t.Errorf("hint of %v = %q, want %q in it", err, fault.HintOf(err), c.hint)
			}
		})
	}
}

func TestLockIsHeldAgainstOurselves(t *testing.T) {
	path := filepath.Join(t.TempDir(), "l")
	unlock, err := lock(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 150*time.Millisecond)
	defer cancel()
	if _, err := lock(ctx, path); fault.KindOf(err) != fault.Unavailable {
		t.Errorf("lock while it is held = %v, want Unavailable when the context ends", err)
	}
	unlock()
	again, err := lock(t.Context(), path)
	if err != nil {
		t.Fatalf("lock after unlock = %v, want nil", err)
	}
	again()
}

var _ net.Conn = (*frameConn)(nil)
