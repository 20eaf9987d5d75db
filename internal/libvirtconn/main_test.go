//go:build linux

package libvirtconn

import (
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/novacron/terraform-provider-novacron/internal/lab"
)

func TestMain(m *testing.M) {
	lab.Main()
	sessionProgram()
	os.Exit(m.Run())
}

// proxy stands between a client and a daemon and breaks the link on demand.
type proxy struct {
	l      net.Listener
	target string // the daemon's socket

	mu     sync.Mutex
	thaw   *sync.Cond
	frozen bool
	conns  map[net.Conn]bool
}

// newProxy listens on network "unix" or "tcp" until the test ends.
func newProxy(t *testing.T, network, target string) *proxy {
	t.Helper()
	addr := "127.0.0.1:0"
	if network == "unix" {
		addr = filepath.Join(t.TempDir(), "s")
	}
	l, err := net.Listen(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{l: l, target: target, conns: map[net.Conn]bool{}}
	p.thaw = sync.NewCond(&p.mu)
	go p.accept()
	t.Cleanup(func() { p.l.Close(); p.cut(); p.freeze(false) })
	return p
}

// uri names the proxy as the place of a daemon's driver and path.
func (p *proxy) uri(driver, path string) string {
	if p.l.Addr().Network() == "unix" {
		return driver + "://" + path + "?socket=" + p.l.Addr().String()
	}
	return driver + "+tcp://" + p.l.Addr().String() + path
}

func (p *proxy) accept() {
	for {
		c, err := p.l.Accept()
		if err != nil {
			return
		}
		d, err := net.Dial("unix", p.target)
		if err != nil {
			c.Close()
			continue
		}
		p.mu.Lock()
		p.conns[c] = true
		p.mu.Unlock()
		go p.pump(c, d)
		go p.pump(d, c)
	}
}

func (p *proxy) pump(from, to net.Conn) {
	defer from.Close()
	defer to.Close()
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		p.mu.Lock()
		for p.frozen {
			p.thaw.Wait() // like a network that drops everything: nobody is told
		}
		p.mu.Unlock()
		if n > 0 {
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// freeze makes the proxy a black hole, or lets it forward again.
func (p *proxy) freeze(on bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.frozen = on
	p.thaw.Broadcast()
}

// cut closes every connection.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		c.Close()
		delete(p.conns, c)
	}
}

// leaks returns a check that no goroutine and no file descriptor was left
// behind since. Closing takes a moment, so the check waits a little.
func leaks(t *testing.T) (check func()) {
	t.Helper()
	fds0, gor0 := openFDs(t), runtime.NumGoroutine()
	return func() {
		t.Helper()
		var fds, gor int
		for range 100 {
			if fds, gor = openFDs(t), runtime.NumGoroutine(); fds <= fds0 && gor <= gor0 {
				return
			}
			time.Sleep(20 * time.Millisecond)
		}
		stacks := make([]byte, 64<<10)
		t.Errorf("%d fds and %d goroutines, want at most %d and %d as before:\n%s", fds, gor, fds0, gor0, stacks[:runtime.Stack(stacks, true)])
	}
}

func openFDs(t *testing.T) int {
	t.Helper()
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(fds)
}

// newClient returns a client that is closed when the test ends.
func newClient(t *testing.T, o Options) *Client {
	t.Helper()
	c, err := New(o)
	if err != nil {
		t.Fatalf("New(%q): %v", o.URI, err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// zeros is an endless reader of zeros.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

var _ io.Reader = zeros{}
