package libvirtconn

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	libvirt "github.com/digitalocean/go-libvirt"

	"github.com/novacron/terraform-provider-novacron/internal/fault"
)

// Stream is Do on a connection of its own that is closed afterwards, with no
// CallTimeout; at most four run at a time. Inside f, a reader or writer given
// to go-libvirt must never fail or block for ever (Upload and Download see to
// that): go-libvirt would never return.
func (c *Client) Stream(ctx context.Context, f func(l *libvirt.Libvirt) error) error {
	return c.stream(ctx, func(cn *conn) error { return f(cn.l) })
}

func (c *Client) stream(ctx context.Context, f func(*conn) error) error {
	c.calls.Add(1)
	ctx, cancel := c.bound(ctx)
	defer cancel()
	select {
	case c.streams <- struct{}{}:
		defer func() { <-c.streams }()
	case <-ctx.Done():
		return ended(ctx, "waiting for one of %d stream connections to %s", maxStreams, c.uri)
	}
	cn, err := c.connect(ctx)
	if err != nil {
		return err
	}
	defer cn.bye()
	return cn.run(ctx, 0, func() error { return f(cn) })
}

// Extent is a range of a file that holds data; what lies between is zero.
type Extent struct{ Offset, Length int64 }

// Upload writes r to the start of a volume's file or device, as it is: a qcow2
// file stays qcow2. Long runs of zeros are sent as holes, so the file on the
// host is sparse unless the volume was preallocated; afterwards the volume
// reads as r did, whatever was in it before, but keeps what lay beyond the end
// of r.
//
// progress, if not nil, gets the number of bytes of r that are done, from
// another goroutine, and never after Upload returned. An error of r comes back
// as it is; after any error the volume is half written and the caller's to
// delete. When ctx ends while r blocks, that Read may outlive Upload: close
// what r reads from.
func (c *Client) Upload(ctx context.Context, vol libvirt.StorageVol, r io.Reader, progress func(done int64)) error {
	return c.upload(ctx, vol, &scanner{r: r}, progress)
}

// UploadExtents is Upload for a sparse file of the given size whose data lie in
// extents, in order and apart: the rest of src is not read.
func (c *Client) UploadExtents(ctx context.Context, vol libvirt.StorageVol, src io.ReaderAt, extents []Extent, size int64, progress func(done int64)) error {
	end := int64(0)
	for _, e := range extents {
		if e.Offset < end || e.Length < 0 || e.Offset > size-e.Length {
			return fault.Errorf(fault.Invalid, "upload to volume %q: extent at %d, %d bytes long, is out of order or beyond the size %d", vol.Name, e.Offset, e.Length, size)
		}
		end = e.Offset + e.Length
	}
	return c.upload(ctx, vol, &picker{src: src, extents: extents, size: size}, progress)
}

// source gives an upload its content in order, either as data or as a hole.
// Data come in p[:n] when hole is 0. The end is io.EOF with neither.
type source interface {
	next(p []byte, dense int64) (n int, hole int64, err error)
}

// holeMin is the shortest run of zeros worth a hole; shorter ones cost the host
// more in fragments than they save.
const holeMin = 64 << 10

func (c *Client) upload(ctx context.Context, vol libvirt.StorageVol, src source, progress func(int64)) error {
	if progress == nil {
		progress = func(int64) {}
	}
	f := &feeder{src: src, progress: progress, busy: make(chan struct{}, 1)}
	err := c.stream(ctx, func(cn *conn) error {
		var err error
		if f.dense, err = staleBytes(cn.l, vol); err != nil {
			return err
		}
		f.conn = cn.frameConn
		err = cn.l.StorageVolUpload(vol, f, 0, 0, libvirt.StorageVolUploadSparseStream)
		f.stop(ctx)
		return err
	})
	if bad := f.failure(); bad != nil {
		return fmt.Errorf("read the source for volume %q: %w", vol.Name, bad)
	}
	return err
}

// staleBytes returns how far a volume may hold bytes that are not zero. A hole
// there would let them show: libvirtd skips a hole, it does not clear it.
func staleBytes(l *libvirt.Libvirt, vol libvirt.StorageVol) (int64, error) {
	_, _, allocated, err := l.StorageVolGetInfo(vol)
	if err != nil || allocated == 0 {
		return 0, err
	}
	const physical = 1 // VIR_STORAGE_VOL_GET_PHYSICAL: the file's length in place of the allocation
	_, _, length, err := l.StorageVolGetInfoFlags(vol, physical)
	return int64(length), err
}

// feeder is the io.Reader that go-libvirt sends from. It sends the holes itself
// and never returns an error but io.EOF, because go-libvirt would wait for ever
// for the daemon's answer to an abort.
type feeder struct {
	conn     *frameConn
	src      source
	dense    int64
	done     int64
	progress func(int64)
	busy     chan struct{} // held while the source is read; kept by stop

	mu      sync.Mutex
	stopped bool
	err     error
}

func (f *feeder) Read(p []byte) (int, error) {
	select {
	case f.busy <- struct{}{}:
		defer func() { <-f.busy }()
	default:
		return 0, io.EOF // stopped
	}
	for {
		n, hole, err := f.src.next(p, f.dense-f.done)
		f.done += int64(n) + hole
		if !f.account(n > 0 || hole > 0, err) {
			return 0, io.EOF
		}
		if hole > 0 && f.conn.sendHole(hole) != nil {
			return 0, io.EOF
		}
		if n > 0 {
			return n, nil
		}
	}
}

// account notes how far the source came and reports whether to go on.
func (f *feeder) account(moved bool, err error) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.stopped {
		return false
	}
	if moved {
		f.progress(f.done)
		return true // an error that came with content comes again
	}
	if err != nil && err != io.EOF { //nolint:errorlint // a wrapped EOF is a source that broke off
		f.err = err
	}
	return err == nil
}

// failure returns the error of the source.
func (f *feeder) failure() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err
}

// stop keeps the source from being read again. It waits for a Read under way,
// but not for one that hangs.
func (f *feeder) stop(ctx context.Context) {
	t := time.NewTimer(time.Second)
	defer t.Stop()
	select {
	case f.busy <- struct{}{}:
	case <-ctx.Done():
	case <-t.C:
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.stopped = true
}

// scanner finds the holes in a stream by looking at it.
type scanner struct {
	r    io.Reader
	rest []byte // read and not yet handed out
	buf  []byte
	err  error
}

func (s *scanner) next(p []byte, dense int64) (int, int64, error) {
	if len(s.rest) == 0 && s.err == nil {
		if s.buf == nil {
			s.buf = make([]byte, 4<<20-headerLen) // go-libvirt's largest packet
		}
		n := 0
		for n < len(s.buf) && s.err == nil {
			var m int
			m, s.err = s.r.Read(s.buf[n:])
			n += m
		}
		s.rest = s.buf[:n]
	}
	if len(s.rest) == 0 {
		return 0, 0, s.err
	}
	n, zero := split(s.rest, dense)
	part := s.rest[:n]
	if !zero {
		n = copy(p, part)
		s.rest = s.rest[n:]
		return n, 0, nil
	}
	s.rest = s.rest[n:]
	return 0, int64(n), nil
}

// split returns the length of the first stretch of b that is all hole or all
// data, in blocks of holeMin. The first dense bytes are data whatever they are.
func split(b []byte, dense int64) (n int, zero bool) {
	for at := 0; at < len(b); at += holeMin {
		block := b[at:min(at+holeMin, len(b))]
		z := int64(at) >= dense && isZero(block)
		if at == 0 {
			zero = z
		} else if z != zero {
			return at, zero
		}
	}
	return len(b), zero
}

func isZero(b []byte) bool {
	// Each byte equals the one before it, and the first is zero.
	return len(b) == 0 || b[0] == 0 && bytes.Equal(b[1:], b[:len(b)-1])
}

// picker reads only the extents of a sparse file.
type picker struct {
	src     io.ReaderAt
	extents []Extent
	size    int64
	at      int64
}

func (k *picker) next(p []byte, dense int64) (int, int64, error) {
	for len(k.extents) > 0 && k.at >= k.extents[0].Offset+k.extents[0].Length {
		k.extents = k.extents[1:]
	}
	start, end := k.size, k.size
	if len(k.extents) > 0 {
		start, end = k.extents[0].Offset, k.extents[0].Offset+k.extents[0].Length
	}
	if k.at == k.size {
		return 0, 0, io.EOF
	}
	if k.at < start {
		if dense <= 0 {
			hole := start - k.at
			k.at = start
			return 0, hole, nil
		}
		end = min(start, k.at+dense) // zeros that must be written
	}
	n, err := k.src.ReadAt(p[:min(int64(len(p)), end-k.at)], k.at)
	k.at += int64(n)
	if n > 0 {
		return n, 0, nil
	}
	if errors.Is(err, io.EOF) {
		err = fmt.Errorf("it ends at %d, before its size %d: %w", k.at, k.size, io.ErrUnexpectedEOF)
	}
	return 0, 0, err
}

// Download copies length bytes of a volume from offset to w, all of it from
// there when length is 0, and returns how many it wrote. An error of w comes
// back as it is. A slow w slows nothing else down.
func (c *Client) Download(ctx context.Context, vol libvirt.StorageVol, w io.Writer, offset, length uint64) (int64, error) {
	var s sink
	err := c.stream(ctx, func(cn *conn) error {
		s = sink{w: w, conn: cn.frameConn}
		return cn.l.StorageVolDownload(vol, &s, offset, length, 0)
	})
	if s.err != nil {
		err = fmt.Errorf("write what volume %q holds: %w", vol.Name, s.err)
	}
	return s.n, err
}

// sink never fails, because go-libvirt deadlocks when a writer does; it cuts
// the connection instead.
type sink struct {
	w    io.Writer
	conn *frameConn
	n    int64
	err  error
}

func (s *sink) Write(p []byte) (int, error) {
	if s.err != nil {
		return len(p), nil
	}
	n, err := s.w.Write(p)
	s.n += int64(n)
	if err != nil {
		s.err = err
		s.conn.cut(errFinished)
	}
	return len(p), nil
}
