// Package libvirtconn talks to a libvirt daemon over connections that are
// dialed when needed, watched, cut when the caller gives up, and replaced when
// the daemon restarts.
//
// It adds to go-libvirt what that library does not have: contexts, timeouts,
// keepalive, a pool, a limit on reply sizes, and errors by kind. Do is for
// calls, Stream for uploads and downloads, each on a connection that nobody
// else uses meanwhile: go-libvirt blocks every call on a connection while one
// of its streams is slow.
package libvirtconn

import (
	"context"
	"net"
	"sync/atomic"
	"time"

	libvirt "github.com/digitalocean/go-libvirt"

	"github.com/novacron/terraform-provider-novacron/internal/fault"
)

// Defaults.
const (
	defaultConns = 8                // libvirtd runs 5 requests a connection at once and we send one
	defaultDial  = 20 * time.Second // a session daemon may have to be started
	defaultPing  = 5 * time.Second
	maxStreams   = 4
	pingsMissed  = 3 // intervals without a sign of life until a connection is cut
	byeTimeout   = 500 * time.Millisecond
)

// idleRules says how connections that nobody uses are treated.
type idleRules struct {
	keep  time.Duration // closed when idle for longer; 0 keeps them
	trust time.Duration // checked before use when idle for longer
	check time.Duration // how long that check may take
}

// Options says where to connect and how patiently. The zero value of every
// field but URI is a default.
type Options struct {
	URI          string
	ReadOnly     bool          // ask for a connection that can change nothing
	MaxConns     int           // calls at the same time; default 8
	DialTimeout  time.Duration // until connected and authenticated; default 20 s
	CallTimeout  time.Duration // longest run of the function given to Do; 0 means no limit but its context's
	PingInterval time.Duration // how often a waiting connection is probed; default 5 s

	// Dial replaces the transport that the URI names: tests, fault proxies.
	Dial func(ctx context.Context) (net.Conn, error)
}

// dialer opens the transport to the daemon. Each transport has one, in a file
// of its own.
type dialer interface {
	Dial(ctx context.Context) (net.Conn, error)
}

type dialFunc func(ctx context.Context) (net.Conn, error)

func (f dialFunc) Dial(ctx context.Context) (net.Conn, error) { return f(ctx) }

// Client is a set of connections to one daemon. It is safe for concurrent use;
// New makes one and Close ends it.
type Client struct {
	uri    URI
	o      Options
	dialer dialer
	pool   *pool

	closed  context.Context // ends at Close
	close   context.CancelFunc
	streams chan struct{} // one token per running stream

	dials, calls atomic.Uint64
	open         atomic.Int64
}

// Stats counts what a client did.
type Stats struct {
	Dials uint64 // connections opened since New
	Calls uint64 // runs of Do and Stream since New
	Open  int    // connections open now
}

// New returns a client for o.URI. It validates and never dials: the first call
// does.
func New(o Options) (*Client, error) {
	uri, err := ParseURI(o.URI)
	if err != nil {
		return nil, err
	}
	if o.MaxConns <= 0 {
		o.MaxConns = defaultConns
	}
	if uri.private() {
		o.MaxConns = 1 // a second connection would see another host
	}
	if o.DialTimeout <= 0 {
		o.DialTimeout = defaultDial
	}
	if o.PingInterval <= 0 {
		o.PingInterval = defaultPing
	}
	c := &Client{uri: uri, o: o, streams: make(chan struct{}, maxStreams)}
	c.closed, c.close = context.WithCancel(context.Background())
	switch {
	case o.Dial != nil:
		c.dialer = dialFunc(o.Dial)
	case uri.Transport == tcpTransport:
		c.dialer = tcpDialer{uri}
	default:
		c.dialer = unixDialer{uri: uri, readOnly: o.ReadOnly, env: osEnv()}
	}
	idle := idleRules{keep: 30 * time.Second, trust: 2 * time.Second, check: 5 * time.Second}
	if uri.Driver == "test" {
		idle.keep = 0 // the mock host forgets everything with its last connection
	}
	c.pool = newPool(o.MaxConns, idle, c.connect)
	return c, nil
}

// URI returns where the client connects.
func (c *Client) URI() URI { return c.uri }

// Stats returns the client's counters.
func (c *Client) Stats() Stats {
	return Stats{Dials: c.dials.Load(), Calls: c.calls.Load(), Open: int(c.open.Load())}
}

// Close cuts every connection. Calls that run fail, as do later ones, with
// fault.Unavailable. Closing twice is fine.
func (c *Client) Close() error {
	c.close()
	c.pool.close()
	return nil
}

// Do runs f with a connection that f has for itself until it returns, waiting
// for a free one if MaxConns are in use. Connections are dialed as needed and
// reused; one that broke while idle is replaced without f noticing.
//
// When ctx ends or CallTimeout passes, the connection is cut, which ends every
// call that f waits for; libvirtd may still finish what it was asked. A
// connection that breaks while f runs makes Do fail with fault.Unavailable; Do
// never runs f twice, since only the caller knows whether that is right.
//
// f must not keep l, call Do on the same client, disconnect l, or use streams
// (see Stream). Its errors come back through Fault.
func (c *Client) Do(ctx context.Context, f func(l *libvirt.Libvirt) error) error {
	c.calls.Add(1)
	ctx, cancel := c.bound(ctx)
	defer cancel()
	cn, err := c.pool.get(ctx)
	if err != nil {
		return err
	}
	defer c.pool.put(cn) // also when f panics; a connection that was cut is dropped
	return cn.run(ctx, c.o.CallTimeout, func() error { return f(cn.l) })
}

// bound ends ctx when the client is closed.
func (c *Client) bound(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(c.closed, func() {
		cancel(fault.Errorf(fault.Unavailable, "the connection to %s was closed by its owner", c.uri))
	})
	return ctx, func() { stop(); cancel(nil) }
}

// ended explains that ctx ended while doing something.
func ended(ctx context.Context, doing string, args ...any) error {
	return whileDoing(context.Cause(ctx), doing, args...)
}
