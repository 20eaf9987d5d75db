package libvirtconn

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"

	libvirt "github.com/digitalocean/go-libvirt"

	"github.com/novacron/terraform-provider-novacron/internal/fault"
)

// Fault gives an error of go-libvirt its kind; the text and the libvirt.Error
// stay. An error that already has a kind, and one that says nothing about its
// kind, come back unchanged.
//
// libvirt has no code for several common failures: a domain defined twice and a
// domain in the wrong state both stay Unknown. That a single error has no errno
// either is why Fault alone cannot see a full disk; Do and Stream can.
func Fault(err error) error {
	if err == nil {
		return nil
	}
	var e libvirt.Error
	switch {
	case fault.KindOf(err) != fault.Unknown:
		return err
	case errors.As(err, &e):
		if k := kindOfCode(libvirt.ErrorNumber(e.Code)); k != fault.Unknown {
			return fault.As(k, err)
		}
		return err
	case errors.Is(err, libvirt.ErrUnsupported):
		return fault.As(fault.Unsupported, err)
	case isTransport(err):
		return fault.As(fault.Unavailable, err)
	}
	return err
}

// kindOfCode maps libvirt's error codes. Only codes that say "this object does
// not exist" are NotFound: missing metadata, a missing device or a missing
// snapshot parent must never make a VM look gone.
func kindOfCode(code libvirt.ErrorNumber) fault.Kind {
	switch code {
	case libvirt.ErrNoDomain, libvirt.ErrNoNetwork, libvirt.ErrNoStoragePool, libvirt.ErrNoStorageVol,
		libvirt.ErrNoDomainSnapshot, libvirt.ErrNoDomainCheckpoint, libvirt.ErrNoDomainBackup,
		libvirt.ErrNoNodeDevice, libvirt.ErrNoInterface, libvirt.ErrNoNwfilter, libvirt.ErrNoNwfilterBinding,
		libvirt.ErrNoNetworkPort, libvirt.ErrNoSecret:
		return fault.NotFound
	case libvirt.ErrDomExist, libvirt.ErrNetworkExist, libvirt.ErrStorageVolExist, libvirt.ErrNetworkPortExist,
		libvirt.ErrStoragePoolBuilt, libvirt.ErrMultipleDomains, libvirt.ErrMultipleInterfaces:
		return fault.Conflict
	case libvirt.ErrResourceBusy, libvirt.ErrOperationTimeout, libvirt.ErrBlockCopyActive:
		return fault.Busy
	case libvirt.ErrAuthFailed, libvirt.ErrAuthCancelled, libvirt.ErrAuthUnavailable,
		libvirt.ErrAccessDenied, libvirt.ErrOperationDenied:
		return fault.Denied
	case libvirt.ErrNoSupport, libvirt.ErrArgumentUnsupported, libvirt.ErrConfigUnsupported,
		libvirt.ErrOperationUnsupported, libvirt.ErrCPUIncompatible:
		return fault.Unsupported
	case libvirt.ErrNoConnect, libvirt.ErrInvalidConn, libvirt.ErrRPC, libvirt.ErrUnknownHost,
		libvirt.ErrGnutlsError, libvirt.ErrSSH, libvirt.ErrLibssh:
		return fault.Unavailable
	case libvirt.ErrOperationAborted:
		return fault.Canceled
	case libvirt.ErrNoMemory:
		return fault.Exhausted
	case libvirt.ErrInvalidArg, libvirt.ErrXMLError, libvirt.ErrXMLDetail, libvirt.ErrXMLInvalidSchema,
		libvirt.ErrInvalidDomain, libvirt.ErrInvalidNetwork, libvirt.ErrInvalidMac, libvirt.ErrInvalidStoragePool,
		libvirt.ErrInvalidStorageVol, libvirt.ErrInvalidNodeDevice, libvirt.ErrInvalidInterface,
		libvirt.ErrInvalidNwfilter, libvirt.ErrInvalidNwfilterBinding, libvirt.ErrInvalidSecret,
		libvirt.ErrInvalidDomainSnapshot, libvirt.ErrInvalidDomainCheckpoint, libvirt.ErrInvalidStream,
		libvirt.ErrInvalidNetworkPort, libvirt.ErrOsType, libvirt.ErrNoName, libvirt.ErrNoOs,
		libvirt.ErrNoSource, libvirt.ErrNoTarget, libvirt.ErrNoRoot, libvirt.ErrNoKernel, libvirt.ErrOverflow:
		return fault.Invalid
	}
	return fault.Unknown
}

// isTransport reports whether err comes from the connection, not from the
// daemon or the caller.
func isTransport(err error) bool {
	if errors.As(err, new(libvirt.Error)) {
		return false
	}
	for _, e := range []error{
		libvirt.ErrInterrupted, // the reader ended while a call waited
		syscall.EINVAL,         // go-libvirt's answer to a call after that
		syscall.EPIPE, syscall.ECONNRESET, net.ErrClosed, io.EOF, io.ErrUnexpectedEOF,
		errFinished, errStale, errBroken,
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	var ne net.Error
	return errors.As(err, &ne) && !errors.Is(err, context.DeadlineExceeded)
}

// whileDoing wraps err with what was being done, keeping its kind and hint.
func whileDoing(err error, doing string, args ...any) error {
	kind := fault.KindOf(err)
	if kind == fault.Unknown && isTransport(err) {
		kind = fault.Unavailable
	}
	return &fault.Error{Kind: kind, Text: fmt.Sprintf(doing, args...), Err: err}
}

// openFault explains why a connection that was dialed could not be opened.
// broken is why it was cut, if it was.
func openFault(err, broken error) error {
	var e libvirt.Error
	if errors.As(err, &e) {
		err = Fault(err)
		if fault.KindOf(err) == fault.Denied {
			return fault.WithHint(err, "the daemon wants a login that this connection cannot give: on the host itself add the user to group libvirt, for tcp set auth_tcp in libvirtd.conf")
		}
		return err
	}
	if broken == nil {
		return Fault(err)
	}
	return fault.WithHint(fault.As(fault.Unavailable, broken),
		"the other side took the connection and hung up: see the daemon's log, and check that this is libvirtd's plain socket or port")
}
