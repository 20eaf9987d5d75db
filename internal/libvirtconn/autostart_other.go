//go:build !linux

package libvirtconn

import (
	"context"
	"net"

	"github.com/novacron/terraform-provider-novacron/internal/fault"
)

// start is for Linux: elsewhere the user starts the daemon.
func (d unixDialer) start(context.Context) (net.Conn, error) {
	return nil, fault.WithHint(fault.Errorf(fault.Unavailable, "the session daemon is not running (socket %s)", d.sockets()[0]),
		"start it first: `libvirtd --timeout=120`, or name a remote host in the URI")
}
