package libvirtconn

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/novacron/terraform-provider-novacron/internal/fault"
)

// env is what decides which socket is the user's and where daemons are.
type env struct {
	uid    int
	lookup func(string) string // an environment variable, "" when unset
	system []string            // directories of the system daemon's sockets
	sbin   []string            // where daemons are when PATH does not have them
}

func osEnv() env {
	return env{
		uid:    os.Geteuid(),
		lookup: os.Getenv,
		system: []string{"/run/libvirt", "/var/run/libvirt"},
		sbin:   []string{"/usr/local/sbin", "/usr/sbin", "/sbin"},
	}
}

// runtimeDir is where the user's session daemon keeps its sockets.
func (e env) runtimeDir() string {
	for _, d := range []string{e.lookup("XDG_RUNTIME_DIR"), e.lookup("XDG_CACHE_HOME")} {
		if d != "" {
			return filepath.Join(d, "libvirt")
		}
	}
	return filepath.Join(e.lookup("HOME"), ".cache", "libvirt")
}

// unixDialer reaches a daemon on this machine.
type unixDialer struct {
	uri      URI
	readOnly bool
	env      env
}

// userDaemon reports whether the URI means the user's own daemon. As for
// libvirt's own clients, root has none: its qemu:///session is the system's.
func (d unixDialer) userDaemon() bool {
	return d.uri.Socket == "" && d.env.uid > 0 && (d.uri.Session() || d.uri.Driver == "test")
}

// sockets lists where the daemon may listen, the usual place first.
func (d unixDialer) sockets() []string {
	if d.uri.Socket != "" {
		return []string{d.uri.Socket}
	}
	dirs, names := d.env.system, []string{"libvirt-sock", "virtqemud-sock"}
	if d.uri.Driver == "test" {
		names = names[:1] // no modular daemon has the mock driver
	}
	if d.userDaemon() {
		dirs = []string{d.env.runtimeDir()}
	}
	var out []string
	for _, n := range names {
		if d.readOnly && !d.userDaemon() {
			n += "-ro" // a session daemon has no socket of that kind
		}
		for _, dir := range dirs {
			out = append(out, filepath.Join(dir, n))
		}
	}
	return out
}

// Dial connects to the first socket that exists. When the user's own daemon is
// not running, Dial starts it, as libvirt's own clients do.
func (d unixDialer) Dial(ctx context.Context) (net.Conn, error) {
	socks := d.sockets()
	path := socks[0]
	for _, s := range socks {
		if _, err := os.Lstat(s); err == nil {
			path = s
			break
		}
	}
	c, err := dialSocket(ctx, path)
	if err == nil {
		return c, nil
	}
	if d.userDaemon() && notRunning(err) && d.env.lookup("LIBVIRT_AUTOSTART") != "0" {
		return d.start(ctx)
	}
	return nil, d.explain(path, socks, err)
}

func dialSocket(ctx context.Context, path string) (net.Conn, error) {
	return (&net.Dialer{}).DialContext(ctx, "unix", path)
}

// notRunning reports whether err means that no daemon owns the socket.
func notRunning(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED)
}

// explain says what a failed dial means and what to do.
func (d unixDialer) explain(path string, socks []string, err error) error {
	switch {
	case errors.Is(err, fs.ErrPermission):
		return fault.WithHint(fault.Errorf(fault.Denied, "socket %s: %w", path, err),
			"add the user to group libvirt and log in again, or use qemu:///session")
	case errors.Is(err, fs.ErrNotExist) && d.uri.Socket != "":
		return fault.WithHint(fault.Errorf(fault.Unavailable, "socket %s does not exist: %w", path, err),
			"check ?socket= in the URI, and that the daemon runs")
	case errors.Is(err, fs.ErrNotExist):
		return fault.WithHint(
			fault.Errorf(fault.Unavailable, "libvirtd is not running or not installed: none of the sockets %s exists: %w", strings.Join(socks, ", "), err),
			"install libvirt-daemon-system (Debian, Ubuntu) or libvirt-daemon (Fedora, SUSE) and run `systemctl enable --now libvirtd`, or use qemu:///session")
	case errors.Is(err, syscall.ECONNREFUSED):
		return fault.WithHint(fault.Errorf(fault.Unavailable, "socket %s is left over from a daemon that is gone: %w", path, err),
			"restart it: `systemctl restart libvirtd`")
	}
	return fault.Errorf(fault.Unavailable, "socket %s: %w", path, err)
}
