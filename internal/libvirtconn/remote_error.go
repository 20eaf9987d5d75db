package libvirtconn

import (
	"encoding/binary"
	"errors"
	"syscall"

	libvirt "github.com/digitalocean/go-libvirt"
)

// maxError bounds the error replies that are looked into.
const maxError = 64 << 10

// remoteError is the part of a daemon's error that go-libvirt drops: for a
// failed system call, its errno. It tells a full disk from other trouble
// without reading text.
type remoteError struct {
	code    uint32
	message string
	int1    int32
}

// isOf reports whether err came with this error.
func (e *remoteError) isOf(err error) bool {
	var le libvirt.Error
	return errors.As(err, &le) && le.Code == e.code && le.Message == e.message
}

// noRoom reports whether a disk or a quota was full on the host. Daemons run on
// Linux, so its numbers count, not those of this machine's system.
func (e *remoteError) noRoom() bool {
	const enospc, edquot = syscall.Errno(28), syscall.Errno(122)
	n := syscall.Errno(e.int1)
	return e.code == uint32(libvirt.ErrSystemError) && (n == enospc || n == edquot)
}

// parseRemoteError reads libvirt's remote_error: code, domain, message, level,
// a domain, three strings, two integers.
func parseRemoteError(b []byte) (e remoteError, ok bool) {
	x := xdr{b: b}
	e.code = x.uint()
	x.uint() // which part of libvirt
	e.message = x.optString()
	x.uint() // level
	if x.uint() != 0 {
		x.string()  // name
		x.bytes(16) // UUID
		x.uint()    // ID
	}
	for range 3 {
		x.optString()
	}
	e.int1 = int32(x.uint())
	return e, !x.short
}

// xdr reads XDR values; short is set once the bytes run out.
type xdr struct {
	b     []byte
	short bool
}

func (x *xdr) bytes(n int) []byte {
	padded := (n + 3) &^ 3
	if x.short || n < 0 || padded > len(x.b) {
		x.short = true
		return nil
	}
	v := x.b[:n]
	x.b = x.b[padded:]
	return v
}

func (x *xdr) uint() uint32 {
	v := x.bytes(4)
	if v == nil {
		return 0
	}
	return binary.BigEndian.Uint32(v)
}

func (x *xdr) string() string {
	n := x.uint()
	if n > maxError {
		x.short = true
		return ""
	}
	return string(x.bytes(int(n)))
}

func (x *xdr) optString() string {
	if x.uint() == 0 {
		return ""
	}
	return x.string()
}
