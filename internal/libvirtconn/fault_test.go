package libvirtconn

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
	"testing"

	libvirt "github.com/digitalocean/go-libvirt"

	"github.com/novacron/terraform-provider-novacron/internal/fault"
)

func TestFaultByCode(t *testing.T) {
	kinds := map[fault.Kind][]libvirt.ErrorNumber{
		fault.NotFound: {libvirt.ErrNoDomain, libvirt.ErrNoStorageVol, libvirt.ErrNoStoragePool, libvirt.ErrNoNetwork,
			libvirt.ErrNoDomainSnapshot, libvirt.ErrNoDomainCheckpoint, libvirt.ErrNoSecret, libvirt.ErrNoNwfilter},
		fault.Conflict:    {libvirt.ErrDomExist, libvirt.ErrNetworkExist, libvirt.ErrStorageVolExist, libvirt.ErrStoragePoolBuilt},
		fault.Busy:        {libvirt.ErrResourceBusy, libvirt.ErrOperationTimeout, libvirt.ErrBlockCopyActive},
		fault.Denied:      {libvirt.ErrAuthFailed, libvirt.ErrAuthUnavailable, libvirt.ErrAccessDenied, libvirt.ErrOperationDenied},
		fault.Unsupported: {libvirt.ErrNoSupport, libvirt.ErrArgumentUnsupported, libvirt.ErrConfigUnsupported, libvirt.ErrOperationUnsupported},
		fault.Unavailable: {libvirt.ErrNoConnect, libvirt.ErrRPC, libvirt.ErrInvalidConn},
		fault.Canceled:    {libvirt.ErrOperationAborted},
		fault.Exhausted:   {libvirt.ErrNoMemory},
		fault.Invalid:     {libvirt.ErrInvalidArg, libvirt.ErrXMLError, libvirt.ErrXMLInvalidSchema, libvirt.ErrInvalidMac, libvirt.ErrNoName},
		// What must not be taken for a VM that is gone, and what has no code of its own.
		fault.Unknown: {libvirt.ErrNoDomainMetadata, libvirt.ErrNoNetworkMetadata, libvirt.ErrDeviceMissing,
			libvirt.ErrOperationFailed, libvirt.ErrOperationInvalid, libvirt.ErrSystemError, libvirt.ErrInternalError,
			libvirt.ErrAgentUnresponsive, 9999},
	}
	for want, codes := range kinds {
		for _, code := range codes {
			in := fmt.Errorf("define: %w", libvirt.Error{Code: uint32(code), Message: "words"})
			err := Fault(in)
			var le libvirt.Error
			if fault.KindOf(err) != want || err.Error() != "define: words" || !errors.As(err, &le) || le.Code != uint32(code) {
				t.Errorf("Fault(code %d) = %v (%s), want the same text and code, and %s", code, err, fault.KindOf(err), want)
			}
		}
	}
}

func TestFaultWithoutACode(t *testing.T) {
	cases := []struct {
		name string
		in   error
		want fault.Kind
	}{
		{"nothing", nil, ""},
		{"a call cut short", libvirt.ErrInterrupted, fault.Unavailable},
		{"a call on a dead connection", syscall.EINVAL, fault.Unavailable},
		{"the other side hung up", fmt.Errorf("read: %w", io.EOF), fault.Unavailable},
		{"a network error", &net.OpError{Op: "read", Err: syscall.ECONNRESET}, fault.Unavailable},
		{"a procedure the daemon is too old for", libvirt.ErrUnsupported, fault.Unsupported},
		{"the caller gave up", context.Canceled, fault.Canceled},
		{"an error that has a kind", fault.Errorf(fault.Invalid, "no: %w", io.EOF), fault.Invalid},
		{"anything else", errors.New("anything"), fault.Unknown},
	}
	for _, c := range cases {
		if got := fault.KindOf(Fault(c.in)); got != c.want {
			t.Errorf("%s: KindOf(Fault(%v)) = %q, want %q", c.name, c.in, got, c.want)
		}
	}
}

// encodeRemoteError writes an error as a daemon does.
func encodeRemoteError(code uint32, message string, int1 int32) []byte {
	u := func(b []byte, v uint32) []byte { return binary.BigEndian.AppendUint32(b, v) }
	s := func(b []byte, v string) []byte {
		b = append(u(b, uint32(len(v))), v...)
		return append(b, make([]byte, -len(v)&3)...)
	}
	b := u(u(nil, code), 18)
	b = s(u(b, 1), message)
	b = u(b, 2)
	b = u(u(s(u(b, 1), "vm"), 1), 2) // a domain: name, the UUID's first half …
	b = u(u(u(b, 3), 4), 5)          // … its second half, and the ID
	b = u(u(s(u(b, 1), "%s"), 0), 0) // three strings, two of them absent
	return u(u(u(b, uint32(int1)), 0), 0)
}

func TestParseRemoteError(t *testing.T) {
	e, ok := parseRemoteError(encodeRemoteError(38, "cannot write", 28))
	if want := (remoteError{38, "cannot write", 28}); !ok || e != want {
		t.Errorf("parseRemoteError = %+v, %v; want %+v", e, ok, want)
	}
	if !e.noRoom() || !e.isOf(fmt.Errorf("x: %w", libvirt.Error{Code: 38, Message: "cannot write"})) {
		t.Error("a full disk was not recognised")
	}
	if (&remoteError{code: 38, int1: 13}).noRoom() || (&remoteError{code: 9, int1: 28}).noRoom() {
		t.Error("something else was taken for a full disk")
	}
	if e.isOf(libvirt.Error{Code: 38, Message: "another"}) {
		t.Error("an older error was taken for this one")
	}
}

func FuzzParseRemoteError(f *testing.F) {
	whole := encodeRemoteError(38, "cannot write", 28)
	f.Add(whole)
	f.Add(whole[:20])
	f.Add([]byte{0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		if e, ok := parseRemoteError(b); ok && len(e.message) > len(b) {
			t.Fatalf("parseRemoteError made a message of %d bytes from %d", len(e.message), len(b))
		}
	})
}
