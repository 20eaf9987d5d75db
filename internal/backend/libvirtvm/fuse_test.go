package libvirtvm

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"sync"
)

var errBurnt = errors.New("the fuse has burnt")

// fuse dials libvirtd with connections that, taken together, let some calls
// through and then none ever: what a crash of this program looks like to
// libvirtd.
type fuse struct {
	socket string

	mu    sync.Mutex
	left  int
	burnt bool
	conns []net.Conn
}

func (f *fuse) dial(ctx context.Context) (net.Conn, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.burnt || f.left == 0 {
		f.burn()
		return nil, &net.OpError{Op: "dial", Net: "unix", Err: errBurnt}
	}
	var d net.Dialer
	c, err := d.DialContext(ctx, "unix", f.socket)
	if err != nil {
		return nil, err
	}
	f.conns = append(f.conns, c)
	return &fused{Conn: c, fuse: f}, nil
}

// burn cuts everything. The caller holds f.mu.
func (f *fuse) burn() {
	f.burnt = true
	for _, c := range f.conns {
		c.Close()
	}
	f.conns = nil
}

// pass counts a message; it reports whether it may go.
func (f *fuse) pass() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.burnt || f.left == 0 {
		f.burn()
		return false
	}
	f.left--
	return true
}

// fused follows the frames that are written to libvirtd: length, program,
// version, procedure, type, serial and status, four bytes each.
type fused struct {
	net.Conn
	fuse *fuse
	head []byte // of the frame that is being written, until it is whole
	body int    // bytes left of it
}

const headerSize = 28

// uncounted are the calls that open a connection: authentication methods,
// features, open, and close.
var uncounted = map[uint32]bool{1: true, 2: true, 60: true, 66: true}

func (c *fused) Write(p []byte) (int, error) {
	for q := p; len(q) > 0; {
		if c.body > 0 {
			n := min(c.body, len(q))
			c.body, q = c.body-n, q[n:]
			continue
		}
		n := min(headerSize-len(c.head), len(q))
		c.head, q = append(c.head, q[:n]...), q[n:]
		if len(c.head) < headerSize {
			continue
		}
		const remoteProgram, call, stream = 0x20008086, 0, 3
		program, procedure, kind := c.word(1), c.word(3), c.word(4)
		counts := kind == stream || kind == call && !(program == remoteProgram && uncounted[procedure])
		if program != 0x6b656570 && counts && !c.fuse.pass() {
			return 0, &net.OpError{Op: "write", Net: "unix", Err: errBurnt}
		}
		c.body = int(c.word(0)) - headerSize
		c.head = c.head[:0]
	}
	return c.Conn.Write(p)
}

// word returns the nth word of the header.
func (c *fused) word(n int) uint32 { return binary.BigEndian.Uint32(c.head[4*n:]) }
