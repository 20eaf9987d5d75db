package libvirtconn

import (
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/novacron/terraform-provider-novacron/internal/fault"
)

const (
	startWait  = 10 * time.Second      // for a started daemon to listen
	startRetry = 50 * time.Millisecond // between looks at lock and socket
	ofdSetLock = 37                    // fcntl F_OFD_SETLK: a lock of the open file, not of the process
)

// start starts the user's session daemon and connects to it. A lock that
// libvirt's own clients take too keeps two processes from starting two.
func (d unixDialer) start(ctx context.Context) (net.Conn, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, startWait,
		fault.Errorf(fault.Unavailable, "the session daemon did not listen within %v", startWait))
	defer cancel()
	prog, err := d.findDaemon()
	if err != nil {
		return nil, err
	}
	dir := d.env.runtimeDir()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fault.WithHint(fault.Errorf(fault.Unavailable, "start session daemon: %w", err),
			"set XDG_RUNTIME_DIR to a directory of your own, as a login does")
	}
	name := filepath.Base(prog)
	unlock, err := lock(ctx, filepath.Join(dir, name+".lock"))
	if err != nil {
		return nil, err
	}
	defer unlock()
	sock := filepath.Join(dir, sockOf(name))
	if c, err := dialSocket(ctx, sock); err == nil {
		return c, nil // someone else was faster
	}
	died, err := spawn(prog, d.env)
	if err != nil {
		return nil, err
	}
	return awaitSocket(ctx, sock, prog, died)
}

func sockOf(daemon string) string {
	if daemon == "virtqemud" {
		return "virtqemud-sock"
	}
	return "libvirt-sock"
}

// findDaemon looks for libvirtd, then virtqemud, in PATH and where PATH of a
// user often does not look. LIBVIRTD_PATH overrides it, as for libvirt's clients.
func (d unixDialer) findDaemon() (string, error) {
	if p := d.env.lookup("LIBVIRTD_PATH"); p != "" {
		return p, nil
	}
	dirs := append(filepath.SplitList(d.env.lookup("PATH")), d.env.sbin...)
	names := []string{"libvirtd", "virtqemud"}
	if d.uri.Driver == "test" {
		names = names[:1]
	}
	for _, n := range names {
		for _, dir := range dirs {
			p := filepath.Join(dir, n)
			if st, err := os.Stat(p); filepath.IsAbs(p) && err == nil && st.Mode().IsRegular() && st.Mode()&0o111 != 0 {
				return p, nil
			}
		}
	}
	return "", fault.WithHint(
		fault.Errorf(fault.Unavailable, "the session daemon is not running and program %s is not installed", strings.Join(names, " or ")),
		"install package libvirt-daemon (and qemu-system-x86): `apt install libvirt-daemon qemu-system-x86` or `dnf install libvirt-daemon-driver-qemu`")
}

// lock waits for the exclusive lock on a file, until ctx ends.
func lock(ctx context.Context, path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fault.Errorf(fault.Unavailable, "start session daemon: %w", err)
	}
	for {
		lk := syscall.Flock_t{Type: syscall.F_WRLCK, Whence: 0, Start: 0, Len: 1}
		err := syscall.FcntlFlock(f.Fd(), ofdSetLock, &lk)
		if err == nil {
			return func() { f.Close() }, nil
		}
		if !errors.Is(err, syscall.EAGAIN) && !errors.Is(err, syscall.EACCES) && !errors.Is(err, syscall.EINTR) {
			f.Close()
			return nil, fault.Errorf(fault.Unavailable, "lock %s: %w", path, err)
		}
		select {
		case <-time.After(startRetry):
		case <-ctx.Done():
			f.Close()
			return nil, fault.WithHint(ended(ctx, "wait for another process that starts the session daemon (lock %s)", path),
				"see which process holds the lock: `fuser %s`", path)
		}
	}
}

// spawn starts the daemon in a session of its own, so that it outlives us and
// our terminal; it ends by itself when it has been idle for two minutes. The
// channel tells how it ended.
func spawn(prog string, e env) (died <-chan error, err error) {
	cmd := exec.Command(prog, "--timeout=120")
	cmd.Dir = "/"
	cmd.Env = []string{"LC_ALL=C"}
	for _, k := range passedEnv() {
		if v := e.lookup(k); v != "" {
			cmd.Env = append(cmd.Env, k+"="+v)
		}
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return nil, fault.WithHint(fault.Errorf(fault.Unavailable, "start session daemon %s: %w", prog, err),
			"check that the program runs: `%s --version`", prog)
	}
	c := make(chan error, 1)
	go func() { c <- cmd.Wait() }() // reaps it if it ends before we do
	return c, nil
}

// passedEnv lists what the daemon inherits: what libvirt's own clients hand on.
// The rest stays here, since it may hold the caller's secrets.
func passedEnv() []string {
	return []string{"PATH", "HOME", "USER", "LOGNAME", "TMPDIR", "LD_PRELOAD", "LD_LIBRARY_PATH",
		"XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_RUNTIME_DIR"}
}

// awaitSocket connects as soon as the daemon listens.
func awaitSocket(ctx context.Context, sock, prog string, died <-chan error) (net.Conn, error) {
	for {
		c, err := dialSocket(ctx, sock)
		if err == nil {
			return c, nil
		}
		select {
		case end := <-died:
			if c, err := dialSocket(ctx, sock); err == nil {
				return c, nil // it found another one running
			}
			return nil, fault.WithHint(fault.Errorf(fault.Unavailable, "session daemon %s ended at once (%v)", prog, end),
				"run `%s --timeout=120` by hand to see why", prog)
		case <-time.After(startRetry):
		case <-ctx.Done():
			return nil, fault.WithHint(ended(ctx, "start session daemon %s, socket %s", prog, sock),
				"run `%s --timeout=120` by hand to see why", prog)
		}
	}
}
