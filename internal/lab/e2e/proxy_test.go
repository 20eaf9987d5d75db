//go:build linux

package e2e

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/novacron/terraform-provider-novacron/internal/lab"
)

// The parts of libvirt's RPC that the proxy follows.
const (
	programRemote = 0x20008086
	programQEMU   = 0x20008087
	typeCall      = 0
	typeReply     = 1
	typeStream    = 3
)

// procClose is how a client says goodbye.
const procClose = 2

// changing is the procedures of libvirt's remote program that change something
// on the host, as far as the provider uses them.
var changing = map[uint32]string{
	196: "start domain", 28: "resume domain", 258: "shut down domain", 234: "destroy domain",
	350: "define domain", 231: "undefine domain", 29: "set autostart of domain", 264: "set metadata of domain", 251: "resize disk of domain",
	93: "create volume", 94: "delete volume", 208: "upload volume", 260: "resize volume",
	41: "define network", 39: "start network", 42: "destroy network", 49: "undefine network", 48: "set autostart of network",
	76: "define pool", 78: "start pool", 79: "build pool",
}

// call is one call, or one frame of a stream, that a client made.
type call struct {
	n       int    // 1 for the first since the proxy was armed
	change  int    // the same, of calls that change something; 0: a read
	what    string // what it changes, "" for a read
	pid     int    // of the client
	program uint32
	proc    uint32
	stream  bool
}

// name fills in what the call does, knowing its frame.
func (c *call) name(f frame) {
	switch {
	case c.stream:
		c.what = "data of the upload"
	case c.program == programQEMU && bytes.Contains(f, []byte("hostfwd_")):
		c.what = "forward a port"
	case c.program == programRemote:
		c.what = changing[c.proc]
	}
}

// hooks are asked as frames pass, by one goroutine of each connection.
type hooks struct {
	before func(call) (drop bool) // before a call goes on to libvirtd
	after  func(call) (drop bool) // when libvirtd has answered it and the client does not know
}

// proxy stands between clients and the libvirtd of a host. It counts the calls of
// all connections together.
type proxy struct {
	socket, upstream string
	listener         net.Listener
	hole             atomic.Bool // frames are taken and go nowhere

	mu      sync.Mutex
	hooks   hooks
	changes int
	log     []call
	conns   []net.Conn
}

// newProxy returns a proxy before the host, in force until the test ends.
func newProxy(t *testing.T, h *lab.Host) *proxy {
	t.Helper()
	dir, err := os.MkdirTemp(bench.dir, "p-")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{socket: filepath.Join(dir, "sock"), upstream: h.Socket()}
	if p.listener, err = net.Listen("unix", p.socket); err != nil {
		t.Fatal(err)
	}
	go p.serve()
	t.Cleanup(func() {
		p.listener.Close()
		p.cut()
		os.RemoveAll(dir)
	})
	return p
}

// uri is the URI of the host through the proxy.
func (p *proxy) uri() string { return "qemu+unix:///system?socket=" + p.socket }

// arm starts the count of calls anew, with hooks that may be empty.
func (p *proxy) arm(h hooks) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.hooks, p.changes, p.log = h, 0, nil
}

// cut ends all connections as a network that went away would.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.conns {
		c.Close()
	}
	p.conns = nil
}

func (p *proxy) serve() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("unix", p.upstream)
		if err != nil {
			client.Close() // as libvirtd does when it is going down
			continue
		}
		p.mu.Lock()
		p.conns = append(p.conns, client, server)
		p.mu.Unlock()
		c := &link{proxy: p, client: client, server: server, pid: peer(client), pending: map[uint32]call{}}
		go c.up()
		go c.down()
	}
}

// count numbers a call and returns the hooks that are in force for it.
func (p *proxy) count(c call) (call, hooks) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c.n = len(p.log) + 1
	if c.what != "" {
		p.changes++
		c.change = p.changes
	}
	p.log = append(p.log, c)
	return c, p.hooks
}

// link is one connection of a client and its counterpart to libvirtd.
type link struct {
	*proxy
	client, server net.Conn
	pid            int

	mu      sync.Mutex
	pending map[uint32]call // calls without an answer by serial
}

func (l *link) end() {
	l.client.Close()
	l.server.Close()
}

// up passes the client's frames on.
func (l *link) up() {
	defer l.end()
	for {
		f, err := readFrame(l.client)
		if err != nil {
			return
		}
		c := call{pid: l.pid, program: f.word(1), proc: f.word(3), stream: f.word(4) == typeStream}
		counted := (c.program == programRemote || c.program == programQEMU) && !(c.program == programRemote && c.proc == procClose)
		if counted && (f.word(4) == typeCall || c.stream && len(f) > headerLen) {
			var h hooks
			c.name(f)
			if c, h = l.count(c); h.before != nil && h.before(c) {
				return
			}
			l.mu.Lock()
			if !c.stream {
				l.pending[f.word(5)] = c
			}
			l.mu.Unlock()
		}
		if l.hole.Load() {
			continue
		}
		if _, err := l.server.Write(f); err != nil {
			return
		}
	}
}

// down passes libvirtd's frames on.
func (l *link) down() {
	defer l.end()
	for {
		f, err := readFrame(l.server)
		if err != nil {
			return
		}
		l.mu.Lock()
		c, ok := l.pending[f.word(5)]
		ok = ok && f.word(4) == typeReply
		if ok {
			delete(l.pending, f.word(5))
		}
		l.mu.Unlock()
		if ok {
			l.proxy.mu.Lock()
			h := l.proxy.hooks
			l.proxy.mu.Unlock()
			if h.after != nil && h.after(c) {
				return
			}
		}
		if l.hole.Load() {
			continue
		}
		if _, err := l.client.Write(f); err != nil {
			return
		}
	}
}

const headerLen = 28

// frame is one message: length, program, version, procedure, type, serial,
// status, and a body.
type frame []byte

func (f frame) word(i int) uint32 { return binary.BigEndian.Uint32(f[4*i:]) }

func readFrame(r io.Reader) (frame, error) {
	var size [4]byte
	if _, err := io.ReadFull(r, size[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(size[:])
	if n < headerLen || n > 64<<20 {
		return nil, io.ErrUnexpectedEOF
	}
	f := make(frame, n)
	copy(f, size[:])
	_, err := io.ReadFull(r, f[4:])
	return f, err
}

// peer returns the process at the other end of a Unix connection.
func peer(c net.Conn) (pid int) {
	raw, err := c.(*net.UnixConn).SyscallConn()
	if err != nil {
		return 0
	}
	_ = raw.Control(func(fd uintptr) {
		if cred, err := syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED); err == nil {
			pid = int(cred.Pid)
		}
	})
	return pid
}

// victims says who dies.
type victims string

const (
	theProvider             victims = "the provider"
	terraformAndTheProvider victims = "terraform and the provider"
)

// kill ends the provider with the process ID as kill -9 does, after its terraform
// where that is to die too, and returns once it is gone.
func (v victims) kill(provider int) {
	if v == terraformAndTheProvider {
		if parent := parentOf(provider); parent > 1 {
			_ = syscall.Kill(parent, syscall.SIGKILL)
		}
	}
	_ = syscall.Kill(provider, syscall.SIGKILL)
	for range 1000 {
		if parentOf(provider) == 0 {
			return
		}
		time.Sleep(time.Millisecond)
	}
}

// parentOf returns the parent of a running process, 0 when it does not run.
func parentOf(pid int) int {
	b, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return 0
	}
	f := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
	if len(f) < 2 || f[0] == "Z" {
		return 0
	}
	parent, _ := strconv.Atoi(f[1])
	return parent
}
