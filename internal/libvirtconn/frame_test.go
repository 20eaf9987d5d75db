package libvirtconn

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// frame builds a frame of libvirt's remote program.
func frame(proc, kind uint32, serial int32, status uint32, body []byte) []byte {
	b := make([]byte, 0, headerLen+len(body))
	for _, v := range []uint32{uint32(headerLen + len(body)), 0x20008086, 1, proc, kind, uint32(serial), status} {
		b = binary.BigEndian.AppendUint32(b, v)
	}
	return append(b, body...)
}

// readConn is a connection on which the bytes of r arrive.
type readConn struct {
	net.Conn
	r   io.Reader
	out bytes.Buffer
}

func (c *readConn) Read(p []byte) (int, error)  { return c.r.Read(p) }
func (c *readConn) Write(p []byte) (int, error) { return c.out.Write(p) }
func (c *readConn) Close() error                { return nil }

func overBytes(b []byte) (*frameConn, *readConn) {
	c := &readConn{r: bytes.NewReader(b)}
	f := newFrameConn(c, false, func() {})
	close(f.opened)
	return f, c
}

func TestReadHandsOutWhatGoLibvirtCanTake(t *testing.T) {
	data := frame(209, typeStream, 7, statusMore, []byte("data"))
	end := frame(209, typeStream, 7, statusOK, nil)
	failed := frame(208, typeStream, 8, statusError, encodeRemoteError(38, "full", 28))
	reply := frame(5, typeReply, 9, statusOK, []byte("1234"))
	cases := []struct {
		name     string
		in, want [][]byte
	}{
		{"replies and stream data pass", [][]byte{reply, data, data, end}, [][]byte{reply, data, data, end}},
		{"keepalive is kept away", [][]byte{keepaliveFrame(keepalivePong), reply, keepaliveFrame(keepalivePing), reply}, [][]byte{reply, reply}},
		{"what follows the end of a stream is dropped", [][]byte{data, end, end, data, reply}, [][]byte{data, end, reply}},
		{"what follows a stream's error is dropped", [][]byte{failed, failed, reply}, [][]byte{failed, reply}},
		{"libvirtd's empty packet ends a stream too", [][]byte{frame(209, typeStream, 7, statusMore, nil), end, reply},
			[][]byte{frame(209, typeStream, 7, statusMore, nil), reply}},
	}
	for _, c := range cases {
		f, _ := overBytes(bytes.Join(c.in, nil))
		got, err := io.ReadAll(f)
		if err != nil {
			t.Errorf("%s: ReadAll: %v", c.name, err)
		}
		if d := cmp.Diff(bytes.Join(c.want, nil), got); d != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, d)
		}
	}
}

func TestReadRefusesFramesThatNoDaemonSends(t *testing.T) {
	for _, size := range []uint32{0, headerLen - 1, maxFrame + 1, 0xffffffff, 0x47455420 /* "GET " */} {
		b := frame(1, typeReply, 1, statusOK, nil)
		binary.BigEndian.PutUint32(b, size)
		f, _ := overBytes(append(b, make([]byte, 100)...))
		got, err := io.ReadAll(f)
		if len(got) != 0 || err != nil || !errors.Is(f.why(), errBroken) {
			t.Errorf("a frame of %d bytes: Read = %d bytes, %v, cut because of %v; want none, and the connection cut", size, len(got), err, f.why())
		}
	}
}

func TestPingIsAnsweredAndSentBetweenFrames(t *testing.T) {
	f, c := overBytes(keepaliveFrame(keepalivePing))
	if _, err := io.ReadAll(f); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(keepaliveFrame(keepalivePong), c.out.Bytes()); d != "" {
		t.Errorf("answer to a ping (-want +got):\n%s", d)
	}
	f, c = overBytes(nil)
	whole := frame(1, typeCall, 1, statusOK, []byte("abcdefgh"))
	ping := keepaliveFrame(keepalivePing)
	for _, part := range [][]byte{whole[:30], whole[30:33], whole[33:]} {
		if _, err := f.Write(part); err != nil {
			t.Fatal(err)
		}
		f.sendBetween(ping)
	}
	if d := cmp.Diff(append(bytes.Clone(whole), ping...), c.out.Bytes()); d != "" {
		t.Errorf("a frame written in parts with pings between (-want +got):\n%s", d)
	}
}

func TestOnlyTheOpenCallIsMarkedReadOnly(t *testing.T) {
	f, c := overBytes(nil)
	f.readOnly = true
	open, other := frame(procConnOpen, typeCall, 1, statusOK, make([]byte, 8)), frame(2, typeCall, 2, statusOK, make([]byte, 8))
	want := append(bytes.Clone(open), other...)
	want[len(open)-1] = openReadOnly
	for _, b := range [][]byte{open, other} {
		if _, err := f.Write(b); err != nil {
			t.Fatal(err)
		}
	}
	if d := cmp.Diff(want, c.out.Bytes()); d != "" {
		t.Errorf("written (-want +got):\n%s", d)
	}
}

func TestWriteRefusesWhatTheDaemonWould(t *testing.T) {
	f, _ := overBytes(nil)
	b := frame(1, typeCall, 1, statusOK, nil)
	binary.BigEndian.PutUint32(b, maxFrame+1)
	if _, err := f.Write(b); err == nil || !f.isCut() {
		t.Errorf("Write of a frame over the limit = %v, cut %v; want an error and a cut", err, f.isCut())
	}
}

func TestSilenceCountsOnlyWhileSomethingIsAwaited(t *testing.T) {
	f, _ := overBytes(nil)
	f.born = time.Now().Add(-time.Hour)
	if s := f.silence(); s != 0 {
		t.Errorf("silence() while nobody reads = %v, want 0: a slow writer of ours is not the peer's silence", s)
	}
	f.waiting.Store(true)
	if s := f.silence(); s < time.Hour {
		t.Errorf("silence() while a read waits = %v, want an hour", s)
	}
}

func FuzzFrames(f *testing.F) {
	f.Add(frame(1, typeReply, 1, statusOK, []byte("body")))
	f.Add(append(keepaliveFrame(keepalivePing), frame(208, typeStream, 8, statusError, encodeRemoteError(38, "x", 28))...))
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n plus some more bytes"))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, _ := overBytes(b)
		got, err := io.ReadAll(c)
		if err != nil || !c.isCut() {
			t.Fatalf("ReadAll = %v, cut %v; want the end of the stream and a cut", err, c.isCut())
		}
		for len(got) >= headerLen { // go-libvirt trusts lengths: all but the last frame are whole
			h := parseHeader(got)
			if h.size < headerLen || h.size > maxFrame || h.program == keepaliveProgram {
				t.Fatalf("handed out a frame with header %+v", h)
			}
			if int(h.size) > len(got) {
				return
			}
			got = got[h.size:]
		}
	})
}
