package libvirtconn

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"

	libvirt "github.com/digitalocean/go-libvirt"

	"github.com/novacron/terraform-provider-novacron/internal/fault"
)

// Why connections are cut. The first three are not failures of the daemon.
var (
	errFinished = errors.New("the connection is closed")
	errStale    = errors.New("the connection was idle and did not answer")
	errBroken   = errors.New("the connection broke")
)

// conn is one connection, opened and authenticated.
type conn struct {
	*frameConn
	l         *libvirt.Libvirt
	uri       URI
	ping      time.Duration
	idleSince time.Time
}

// once hands an open connection to go-libvirt, which wants to dial.
type once struct{ c net.Conn }

func (o once) Dial() (net.Conn, error) { return o.c, nil }

// connect dials, authenticates and opens the URI, in at most DialTimeout.
func (c *Client) connect(ctx context.Context) (*conn, error) {
	dctx, cancel := context.WithTimeoutCause(ctx, c.o.DialTimeout,
		fault.Errorf(fault.Unavailable, "no answer within %v", c.o.DialTimeout))
	defer cancel()
	raw, err := c.dialer.Dial(dctx)
	if err != nil {
		if ctx.Err() != nil || dctx.Err() != nil && fault.HintOf(err) == "" {
			return nil, gaveUp(dctx, "connect to %s", c.uri)
		}
		return nil, whileDoing(err, "connect to %s", c.uri)
	}
	c.dials.Add(1)
	c.open.Add(1)
	f := newFrameConn(raw, c.o.ReadOnly, func() { c.open.Add(-1) })
	cn := &conn{frameConn: f, l: libvirt.NewWithDialer(once{f}), uri: c.uri, ping: c.o.PingInterval}
	stop := context.AfterFunc(dctx, func() { f.cut(context.Cause(dctx)) })
	err = cn.l.ConnectToURI(libvirt.ConnectURI(c.uri.Daemon()))
	close(f.opened)
	if !stop() {
		return nil, gaveUp(dctx, "open %s", c.uri)
	}
	if err != nil {
		f.cut(errFinished)
		return nil, whileDoing(openFault(err, f.why()), "open %s", c.uri)
	}
	return cn, nil
}

// gaveUp explains that ctx ended before the daemon answered.
func gaveUp(ctx context.Context, doing string, args ...any) error {
	err := ended(ctx, doing, args...)
	if fault.KindOf(err) != fault.Unavailable {
		return err
	}
	return fault.WithHint(err, "check that the host is up, that no firewall drops the port, and that libvirtd is not hung (`systemctl status libvirtd`)")
}

// run runs f, which uses the connection, and cuts it when ctx ends, limit passes (0 means
// no limit) or the peer falls silent.
func (cn *conn) run(ctx context.Context, limit time.Duration, f func() error) error {
	if limit > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, limit,
			fault.Errorf(fault.Unavailable, "the call took longer than %v", limit))
		defer cancel()
	}
	unwatch := cn.watch()
	defer unwatch()
	stop := context.AfterFunc(ctx, func() { cn.cut(context.Cause(ctx)) })
	returned := false
	defer func() {
		if !stop() || !returned {
			cn.cut(errFinished)
		}
	}()
	err := f()
	returned = true
	return cn.fault(err)
}

// fault adds to an error of f what the connection knows about it.
func (cn *conn) fault(err error) error {
	if err == nil {
		return nil
	}
	if why := cn.why(); why != nil && isTransport(err) {
		return whileDoing(why, "call to %s", cn.uri)
	}
	if last := cn.lastErr.Load(); last != nil && last.isOf(err) && last.noRoom() && fault.KindOf(err) == fault.Unknown {
		return fault.As(fault.Exhausted, err)
	}
	return Fault(err)
}

// bye ends a connection in the way that the daemon expects, so that it logs no
// error. It takes no longer than a moment.
func (cn *conn) bye() {
	if cn.isCut() {
		return
	}
	t := time.AfterFunc(byeTimeout, func() { cn.cut(errFinished) })
	defer t.Stop()
	cn.l.Disconnect() //nolint:errcheck // the connection is going away in any case
	cn.cut(errFinished)
}

// healthy reports whether an idle connection can be used: open, and answering
// if it has been idle for more than a moment.
func (cn *conn) healthy(ctx context.Context, r idleRules) bool {
	if cn.isCut() {
		return false
	}
	if time.Since(cn.idleSince) < r.trust {
		return true
	}
	ctx, cancel := context.WithTimeoutCause(ctx, r.check, errStale)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { cn.cut(errStale) })
	_, err := cn.l.ConnectGetLibVersion()
	return stop() && err == nil
}

// watch probes the peer every interval and cuts the connection when it has been
// silent for three. A daemon answers probes even while a call hangs in QEMU, so
// long calls live on and dead links do not.
func (cn *conn) watch() (stop func()) {
	cn.touch()
	var mu sync.Mutex
	var t *time.Timer
	stopped := false
	tick := func() {
		mu.Lock()
		if stopped || cn.isCut() {
			mu.Unlock()
			return
		}
		t.Reset(cn.ping)
		mu.Unlock()
		if cn.silence() >= pingsMissed*cn.ping-cn.ping/10 {
			cn.cut(fault.Errorf(fault.Unavailable, "the host stopped answering: nothing for %v", pingsMissed*cn.ping))
			return
		}
		cn.sendBetween(keepaliveFrame(keepalivePing))
	}
	mu.Lock()
	t = time.AfterFunc(cn.ping, tick)
	mu.Unlock()
	return func() {
		mu.Lock()
		stopped = true
		mu.Unlock()
		t.Stop()
	}
}
