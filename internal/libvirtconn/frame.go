package libvirtconn

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// The parts of libvirt's RPC framing that the wrapper follows.
const (
	headerLen = 28
	maxFrame  = 32<<20 + 4 // libvirt's VIR_NET_MESSAGE_MAX and the length word

	keepaliveProgram = 0x6b656570
	keepalivePing    = 1
	keepalivePong    = 2

	typeCall     = 0
	typeReply    = 1
	typeMessage  = 2
	typeStream   = 3
	typeHole     = 6
	statusOK     = 0
	statusError  = 1
	statusMore   = 2
	procConnOpen = 1
	openReadOnly = 1
)

// header is what a frame starts with.
type header struct {
	size, program, version, proc, kind uint32
	serial                             int32
	status                             uint32
}

func parseHeader(b []byte) header {
	u := func(i int) uint32 { return binary.BigEndian.Uint32(b[4*i:]) }
	return header{u(0), u(1), u(2), u(3), u(4), int32(u(5)), u(6)}
}

func keepaliveFrame(proc uint32) []byte {
	b := make([]byte, 0, headerLen)
	for _, v := range []uint32{headerLen, keepaliveProgram, 1, proc, typeMessage, 0, statusOK} {
		b = binary.BigEndian.AppendUint32(b, v)
	}
	return b
}

// frameConn is the net.Conn under go-libvirt. It follows the frames in both
// directions so that it can send keepalive pings between them, swallow the
// answers, refuse frames that no libvirt sends, and be cut from outside.
//
// One goroutine reads (go-libvirt's), any may write or cut.
type frameConn struct {
	net.Conn
	readOnly bool // mark the open call as read-only

	r        *bufio.Reader
	head     []byte         // bytes already read, still to hand out
	body     int            // body bytes of the current frame still to read and hand out
	finished map[int32]bool // streams whose last frame was handed out
	lastErr  atomic.Pointer[remoteError]

	wmu   sync.Mutex
	wleft int    // bytes of the current frame still to be written
	call  header // of the last call written

	accepted bool          // the daemon's answer to the open call was handed out
	opened   chan struct{} // closed when ConnectToURI has returned

	born    time.Time
	alive   atomic.Int64 // when the peer last sent, or took, bytes: nanoseconds since born, on the monotonic clock
	waiting atomic.Bool  // whether go-libvirt waits for bytes

	once   sync.Once
	reason error // why it was cut; read only after done is closed
	done   chan struct{}
	onCut  func()
}

func newFrameConn(c net.Conn, readOnly bool, onCut func()) *frameConn {
	return &frameConn{
		Conn: c, readOnly: readOnly, onCut: onCut,
		r: bufio.NewReader(c), finished: map[int32]bool{},
		opened: make(chan struct{}), done: make(chan struct{}),
		born: time.Now(),
	}
}

func (f *frameConn) touch() { f.alive.Store(int64(time.Since(f.born))) }

// cut closes the connection for a reason; the first reason stays. It never
// blocks on the peer.
func (f *frameConn) cut(reason error) {
	f.once.Do(func() {
		f.reason = reason
		close(f.done)
		f.Conn.Close()
		f.onCut()
	})
}

// isCut reports whether the connection is closed, by us or by the peer.
func (f *frameConn) isCut() bool {
	select {
	case <-f.done:
		return true
	default:
		return false
	}
}

// why returns the reason of the cut, nil while the connection is open.
func (f *frameConn) why() error {
	if f.isCut() {
		return f.reason
	}
	return nil
}

// Close is what go-libvirt calls when it gives up.
func (f *frameConn) Close() error {
	f.cut(errFinished)
	return nil
}

// Read hands go-libvirt whole frames, without keepalive, and without what
// follows a stream's last frame: go-libvirt deadlocks on a frame for a call
// that has just returned. Every failure cuts the connection, and is held back
// until ConnectToURI has returned if that is about to: go-libvirt writes a
// field there that it reads, unguarded, when the connection ends.
func (f *frameConn) Read(p []byte) (int, error) {
	f.touch()
	f.waiting.Store(true)
	defer f.waiting.Store(false)
	n, err := f.read(p)
	if err != nil {
		f.cut(fmt.Errorf("%w: %w", errBroken, err))
		if f.accepted {
			<-f.opened
		}
		return n, io.EOF // never an error that go-libvirt would take as temporary
	}
	return n, nil
}

func (f *frameConn) read(p []byte) (int, error) {
	for len(f.head) == 0 && f.body == 0 {
		if err := f.next(); err != nil {
			return 0, err
		}
	}
	if len(f.head) > 0 {
		n := copy(p, f.head)
		f.head = f.head[n:]
		return n, nil
	}
	n, err := f.r.Read(p[:min(len(p), f.body)])
	f.body -= n
	if n > 0 {
		f.touch()
		return n, nil
	}
	return n, err
}

// next reads the header of the next frame and drops the frame if it is not for
// go-libvirt.
func (f *frameConn) next() error {
	b := make([]byte, headerLen)
	if _, err := io.ReadFull(f.r, b); err != nil {
		return err
	}
	f.touch()
	h := parseHeader(b)
	if h.size < headerLen || h.size > maxFrame {
		return fmt.Errorf("the other side sent a frame of %d bytes, libvirt's are %d to %d: it is not a libvirt daemon, or not one to trust", h.size, headerLen, maxFrame)
	}
	size := int(h.size) - headerLen
	if h.program == keepaliveProgram {
		if h.proc == keepalivePing {
			f.sendBetween(keepaliveFrame(keepalivePong))
		}
		return f.discard(size)
	}
	if h.kind == typeStream {
		if f.finished[h.serial] {
			return f.discard(size)
		}
		if h.status == statusOK || h.status == statusError || size == 0 {
			f.finished[h.serial] = true
		}
	}
	f.head, f.body = b, size
	f.accepted = f.accepted || h.kind == typeReply && h.proc == procConnOpen && h.status == statusOK
	if h.status == statusError && h.kind != typeMessage && size <= maxError {
		return f.keepError(size)
	}
	return nil
}

// keepError reads the body of an error reply, since go-libvirt drops most of it.
func (f *frameConn) keepError(size int) error {
	body := make([]byte, size)
	if _, err := io.ReadFull(f.r, body); err != nil {
		return err
	}
	f.head, f.body = append(f.head, body...), 0
	if e, ok := parseRemoteError(body); ok {
		f.lastErr.Store(&e)
	}
	return nil
}

func (f *frameConn) discard(n int) error {
	_, err := f.r.Discard(n)
	return err
}

// chunk is how much is written at a time: small enough that a slow link shows
// its progress several times an interval.
const chunk = 64 << 10

// Write sends bytes of go-libvirt's frames. go-libvirt writes each header whole.
func (f *frameConn) Write(p []byte) (int, error) {
	f.wmu.Lock()
	defer f.wmu.Unlock()
	if err := f.follow(p); err != nil {
		f.cut(fmt.Errorf("%w: %w", errBroken, err))
		return 0, err
	}
	total := 0
	for total < len(p) {
		n, err := f.Conn.Write(p[total:min(total+chunk, len(p))])
		total += n
		if n > 0 {
			f.touch()
		}
		if err != nil {
			f.cut(fmt.Errorf("%w: %w", errBroken, err))
			return total, err
		}
	}
	return total, nil
}

// follow keeps track of where p ends inside a frame.
func (f *frameConn) follow(p []byte) error {
	for len(p) > 0 {
		if f.wleft == 0 {
			if len(p) < headerLen {
				return errors.New("a frame header was written in pieces")
			}
			h := parseHeader(p)
			if h.size < headerLen || h.size > maxFrame {
				return fmt.Errorf("a request of %d bytes is over libvirt's limit of %d", h.size, maxFrame)
			}
			f.wleft = int(h.size)
			if h.kind == typeCall {
				f.call = h
			}
			if f.readOnly && h.proc == procConnOpen && h.kind == typeCall && len(p) == f.wleft {
				p[len(p)-1] |= openReadOnly // its last argument is the flags
			}
		}
		n := min(f.wleft, len(p))
		f.wleft -= n
		p = p[n:]
	}
	return nil
}

// sendBetween sends a frame of ours unless go-libvirt is in the middle of one
// of its own: then bytes flow and no ping is needed.
func (f *frameConn) sendBetween(frame []byte) {
	if !f.wmu.TryLock() {
		return
	}
	defer f.wmu.Unlock()
	if f.wleft != 0 {
		return
	}
	if _, err := f.Conn.Write(frame); err != nil {
		f.cut(fmt.Errorf("%w: %w", errBroken, err))
	}
}

// sendHole tells the stream of the last call that length bytes are zero. It is
// for the goroutine that feeds that stream, which is between two frames.
func (f *frameConn) sendHole(length int64) error {
	f.wmu.Lock()
	defer f.wmu.Unlock()
	b := make([]byte, 0, headerLen+12)
	for _, v := range []uint32{headerLen + 12, f.call.program, f.call.version, f.call.proc, typeHole, uint32(f.call.serial), statusMore} {
		b = binary.BigEndian.AppendUint32(b, v)
	}
	b = binary.BigEndian.AppendUint64(b, uint64(length))
	b = binary.BigEndian.AppendUint32(b, 0)
	if _, err := f.Conn.Write(b); err != nil {
		f.cut(fmt.Errorf("%w: %w", errBroken, err))
		return err
	}
	return nil
}

// silence returns for how long go-libvirt has waited for the peer, which
// neither sent nor took a byte.
func (f *frameConn) silence() time.Duration {
	if !f.waiting.Load() {
		return 0
	}
	return time.Since(f.born) - time.Duration(f.alive.Load())
}
