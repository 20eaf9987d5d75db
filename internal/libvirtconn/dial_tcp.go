package libvirtconn

import (
	"context"
	"errors"
	"net"
	"os"
	"strconv"
	"syscall"

	"github.com/novacron/terraform-provider-novacron/internal/fault"
)

// tcpPort is libvirtd's port for plain TCP.
const tcpPort = 16509

// tcpDialer reaches a daemon over plain TCP.
type tcpDialer struct{ uri URI }

func (d tcpDialer) Dial(ctx context.Context) (net.Conn, error) {
	port := d.uri.Port
	if port == 0 {
		port = tcpPort
	}
	addr := net.JoinHostPort(d.uri.Host, strconv.Itoa(port))
	c, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, explainTCP(addr, err)
	}
	return c, nil
}

// explainTCP says what a failed dial means and what to do.
func explainTCP(addr string, err error) error {
	host, port, _ := net.SplitHostPort(addr)
	cause := fault.Errorf(fault.Unavailable, "dial %s: %w", addr, err)
	var dns *net.DNSError
	switch {
	case errors.As(err, &dns):
		return fault.WithHint(fault.Errorf(fault.Unavailable, "host %q is unknown: %w", host, dns),
			"check the host's name in the URI and this machine's DNS")
	case errors.Is(err, syscall.ECONNREFUSED):
		return fault.WithHint(cause,
			"nothing listens there: on %s run `systemctl enable --now libvirtd-tcp.socket`, or libvirtd --listen with listen_tcp = 1", host)
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return fault.WithHint(cause, "there is no route to %s: check address, network and VPN", host)
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, syscall.ETIMEDOUT), errors.Is(err, context.DeadlineExceeded):
		return fault.WithHint(cause, "%s does not answer: is it up, and does a firewall drop port %s?", host, port)
	}
	return cause
}
