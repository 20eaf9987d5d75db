//go:build linux

package libvirtconn

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/novacron/terraform-provider-novacron/internal/fault"
)

// user is the environment of a user whose variables are vars.
func user(uid int, vars map[string]string) env {
	return env{uid: uid, lookup: func(k string) string { return vars[k] }, system: []string{"/run/libvirt"}}
}

func TestSockets(t *testing.T) {
	root := user(0, map[string]string{"HOME": "/root", "XDG_RUNTIME_DIR": "/run/user/0"})
	ann := user(1000, map[string]string{"HOME": "/home/ann", "XDG_RUNTIME_DIR": "/run/user/1000"})
	cases := []struct {
		name     string
		env      env
		uri      string
		readOnly bool
		want     string
	}{
		{"the system's daemon, or its modular one", ann, "qemu:///system", false, "/run/libvirt/libvirt-sock /run/libvirt/virtqemud-sock"},
		{"read-only", ann, "qemu:///system", true, "/run/libvirt/libvirt-sock-ro /run/libvirt/virtqemud-sock-ro"},
		{"the user's daemon", ann, "qemu:///session", false, "/run/user/1000/libvirt/libvirt-sock /run/user/1000/libvirt/virtqemud-sock"},
		{"the user's daemon has no read-only socket", ann, "qemu:///session", true, "/run/user/1000/libvirt/libvirt-sock /run/user/1000/libvirt/virtqemud-sock"},
		{"root has no daemon of its own", root, "qemu:///session", false, "/run/libvirt/libvirt-sock /run/libvirt/virtqemud-sock"},
		{"no login session", user(1000, map[string]string{"HOME": "/home/ann"}), "qemu:///session", false,
			"/home/ann/.cache/libvirt/libvirt-sock /home/ann/.cache/libvirt/virtqemud-sock"},
		{"a cache elsewhere", user(1000, map[string]string{"HOME": "/home/ann", "XDG_CACHE_HOME": "/c"}), "qemu:///session", false,
			"/c/libvirt/libvirt-sock /c/libvirt/virtqemud-sock"},
		{"the mock driver is in libvirtd only", ann, "test:///default", false, "/run/user/1000/libvirt/libvirt-sock"},
		{"the mock driver for root", root, "test+unix:///a.xml", false, "/run/libvirt/libvirt-sock"},
		{"the socket of the URI", ann, "qemu:///session?socket=/x", true, "/x"},
	}
	for _, c := range cases {
		u, err := ParseURI(c.uri)
		if err != nil {
			t.Fatal(err)
		}
		got := strings.Join(unixDialer{uri: u, readOnly: c.readOnly, env: c.env}.sockets(), " ")
		if d := cmp.Diff(c.want, got); d != "" {
			t.Errorf("%s: sockets of %s (-want +got):\n%s", c.name, c.uri, d)
		}
	}
}

func TestModularDaemonIsFoundWithoutLibvirtd(t *testing.T) {
	e := user(0, nil)
	e.system = []string{t.TempDir()}
	l, err := net.Listen("unix", filepath.Join(e.system[0], "virtqemud-sock"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	u, _ := ParseURI("qemu:///system")
	c, err := unixDialer{uri: u, env: e}.Dial(t.Context())
	if err != nil {
		t.Fatalf("Dial = %v, want a connection to %s", err, l.Addr())
	}
	c.Close()
}

// asNobody runs f in a thread without root's power over files.
func asNobody(t *testing.T, f func()) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	set := func(uid uintptr) {
		if _, _, errno := syscall.RawSyscall(syscall.SYS_SETFSUID, uid, 0, 0); errno != 0 {
			t.Errorf("setfsuid(%d): %v", uid, errno)
		}
	}
	set(65534)
	defer set(uintptr(os.Geteuid()))
	f()
}

// deadSocket is a socket that nobody listens on any more.
func deadSocket(t *testing.T, path string) {
	t.Helper()
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	l.Close()
}

func TestDialFailuresNameStepAndRemedy(t *testing.T) {
	dir := t.TempDir()
	closed, dead := filepath.Join(dir, "closed"), filepath.Join(dir, "dead")
	deadSocket(t, dead)
	l, err := net.Listen("unix", closed)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := os.Chmod(closed, 0); err != nil {
		t.Fatal(err)
	}
	cases := []struct {
		name, uri  string
		env        env
		kind       fault.Kind
		text, hint string
		nobody     bool // without root's power over files
	}{
		{"no daemon", "qemu:///system", env{system: []string{dir}}, fault.Unavailable, "libvirtd is not running or not installed: none of the sockets " + dir + "/libvirt-sock, ", "libvirt-daemon-system", false},
		{"a socket that is not there", "qemu:///system?socket=" + dir + "/no", env{}, fault.Unavailable, "socket " + dir + "/no does not exist", "?socket=", false},
		{"a socket of a dead daemon", "qemu:///system?socket=" + dead, env{}, fault.Unavailable, "left over from a daemon that is gone", "systemctl restart", false},
		{"a socket of others", "qemu:///system?socket=" + closed, env{}, fault.Denied, "permission denied", "group libvirt", true},
		{"nothing listens", "qemu+tcp://127.0.0.1:1/system", env{}, fault.Unavailable, "dial 127.0.0.1:1", "libvirtd-tcp.socket", false},
		{"an unknown host", "qemu+tcp://no-such-host.invalid/system", env{}, fault.Unavailable, `host "no-such-host.invalid" is unknown`, "DNS", false},
	}
	for _, c := range cases {
		cl := newClient(t, Options{URI: c.uri})
		if _, ok := cl.dialer.(unixDialer); ok {
			cl.dialer = unixDialer{uri: cl.uri, env: c.env}
		}
		var err error
		if c.nobody {
			asNobody(t, func() { err = cl.Do(t.Context(), version) })
		} else {
			err = cl.Do(t.Context(), version)
		}
		wantKind(t, c.name, err, c.kind, c.text)
		wantKind(t, c.name, err, c.kind, "connect to "+c.uri)
		if !strings.Contains(fault.HintOf(err), c.hint) {
			t.Errorf("%s: hint of %v = %q, want %q in it", c.name, err, fault.HintOf(err), c.hint)
		}
	}
	for errno, hint := range map[error]string{
		syscall.EHOSTUNREACH: "there is no route to h",
		syscall.ETIMEDOUT:    "does a firewall drop port 5?",
	} {
		err := explainTCP("h:5", &net.OpError{Op: "dial", Err: errno})
		if fault.KindOf(err) != fault.Unavailable || !errors.Is(err, errno) || !strings.Contains(fault.HintOf(err), hint) {
			t.Errorf("explainTCP(%v) = %v, hint %q; want Unavailable with %q", errno, err, fault.HintOf(err), hint)
		}
	}
}

// serve answers each connection with f, and closes it.
func serve(t *testing.T, f func(net.Conn)) (uri string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { defer c.Close(); f(c) }()
		}
	}()
	return "qemu+tcp://" + l.Addr().String() + "/system"
}

func TestWhatAnswersIsNotADaemonWeCanUse(t *testing.T) {
	read := func(c net.Conn) { c.Read(make([]byte, headerLen)) }
	cases := []struct {
		name       string
		answer     func(net.Conn)
		kind       fault.Kind
		text, hint string
	}{
		{"a web server", func(c net.Conn) { read(c); c.Write([]byte("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")) },
			fault.Unavailable, "it is not a libvirt daemon", "libvirtd's plain socket or port"},
		{"it hangs up", read, fault.Unavailable, "the connection broke", "took the connection and hung up"},
		{"it wants a login", func(c net.Conn) {
			read(c)
			c.Write(frame(66, typeReply, 1, statusError, encodeRemoteError(45, "authentication required", 0)))
			read(c)
		}, fault.Denied, "authentication required", "auth_tcp"},
		{"it says nothing", func(c net.Conn) { read(c); read(c) }, fault.Unavailable, "no answer within 1s", "firewall"},
	}
	for _, c := range cases {
		uri := serve(t, c.answer)
		check := leaks(t)
		cl := newClient(t, Options{URI: uri, DialTimeout: time.Second})
		err := cl.Do(t.Context(), version)
		wantKind(t, c.name, err, c.kind, c.text)
		wantKind(t, c.name, err, c.kind, "open qemu+tcp://")
		if !strings.Contains(fault.HintOf(err), c.hint) {
			t.Errorf("%s: hint of %v = %q, want %q in it", c.name, err, fault.HintOf(err), c.hint)
		}
		check()
	}
}

func TestDialEndsWithTheContext(t *testing.T) {
	check := leaks(t)
	block := func(ctx context.Context) (net.Conn, error) { <-ctx.Done(); return nil, ctx.Err() }
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(20*time.Millisecond, cancel)
	c := newClient(t, Options{URI: "qemu:///system", Dial: block})
	wantKind(t, "Do", c.Do(ctx, version), fault.Canceled, "connect to qemu:///system: context canceled")
	c = newClient(t, Options{URI: "qemu:///system", Dial: block, DialTimeout: 20 * time.Millisecond})
	wantKind(t, "Do", c.Do(t.Context(), version), fault.Unavailable, "no answer within 20ms")
	wantKind(t, "Do with a context that has ended", c.Do(ctx, version), fault.Canceled, "context canceled")
	check()
}
