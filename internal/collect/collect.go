// Package collect asks a libvirt host about itself and its domains and turns
// the answers into samples: counters and, beside them, rates and utilisation.
//
// It is cheap, and a hypervisor process that hangs cannot hold it up. One
// request tells the state of all domains and needs no hypervisor process. What
// does need one is asked in small batches with a deadline; a batch that stalls
// is given up and its domains are asked one by one, so that only the hung
// domain loses its metrics, and is reported.
package collect

import (
	"context"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	libvirt "github.com/digitalocean/go-libvirt"

	"github.com/novacron/terraform-provider-novacron/internal/fault"
	"github.com/novacron/terraform-provider-novacron/internal/libvirtconn"
	"github.com/novacron/terraform-provider-novacron/internal/sample"
)

// Group is a set of metrics that is collected together.
type Group string

// The groups.
const (
	Host   Group = "host"   // the host: CPU, memory, overcommitment
	State  Group = "state"  // state of each domain
	CPU    Group = "cpu"    // CPU time of each domain
	VCPU   Group = "vcpu"   // the same for each virtual CPU
	Memory Group = "memory" // balloon and what the guest reports
	Block  Group = "block"  // disks
	Net    Group = "net"    // network interfaces
)

// AllGroups returns every group.
func AllGroups() []Group { return []Group{Host, State, CPU, VCPU, Memory, Block, Net} }

const (
	// inFlight is how many requests wait in libvirt at once, each on a
	// connection of its own.
	inFlight = 4

	// batchSize is how many domains one request asks about. Measured: sixteen
	// cost the same CPU as all at once and a fifth of one by one, and four
	// batches at a time take half the wall time of one request for all.
	batchSize = 16

	// maxStuck is how many requests may be left behind in libvirtd, each of
	// which keeps one of its (by default 20) workers until its hypervisor
	// process answers or dies. With more, libvirtd would serve nobody.
	maxStuck = 8

	profileKeep  = 10 * time.Minute // a definition is read again after this
	profileRetry = time.Minute      // and not before this when it lacks an interface
)

// Options says what to collect from which host. The zero value of every field
// but URI is a default.
type Options struct {
	URI      string
	Groups   []Group       // default: all
	Timeout  time.Duration // of one gather; default 5 s
	Stall    time.Duration // a request about domains that takes longer is given up; default a fifth of Timeout
	Keep     time.Duration // a domain not seen for longer is forgotten; default 10 min
	ReadOnly bool          // ask for a connection that can change nothing

	// Select says which domains to collect, by name; nil means all. The host's
	// own metrics count every domain.
	Select func(name string) bool

	// Source replaces the libvirt daemon that URI names: replays, tests.
	Source Source
}

// Collector collects from one host. It keeps the counters of the last gather, a
// few KiB for each domain, and the source with its connections. Its methods are
// safe for concurrent use; gathers run one after the other.
type Collector struct {
	o      Options
	uri    string
	remote string // the host that the URI names
	groups map[Group]bool
	src    Source

	mu      sync.Mutex
	id      Identity
	known   bool // id was read on this connection
	domains map[libvirt.UUID]*domain
	cpu     meter // of the host

	gathers, failures uint64
}

// New returns a collector. It validates and never connects: Gather does.
func New(o Options) (*Collector, error) {
	if len(o.Groups) == 0 {
		o.Groups = AllGroups()
	}
	if o.Timeout <= 0 {
		o.Timeout = 5 * time.Second
	}
	if o.Stall <= 0 {
		o.Stall = o.Timeout / 5
	}
	if o.Keep <= 0 {
		o.Keep = 10 * time.Minute
	}
	c := &Collector{o: o, uri: o.URI, src: o.Source, groups: make(map[Group]bool), domains: make(map[libvirt.UUID]*domain)}
	for _, g := range o.Groups {
		if !slices.Contains(AllGroups(), g) {
			return nil, fault.At("groups", fault.Errorf(fault.Invalid, "metric group %q does not exist: want some of %v", g, AllGroups()))
		}
		c.groups[g] = true
	}
	if c.src != nil {
		return c, nil
	}
	uri, err := libvirtconn.ParseURI(o.URI)
	if err != nil {
		return nil, fault.At("uris", err)
	}
	c.uri, c.remote = uri.String(), uri.Host
	c.src, err = newLive(o.URI, o.ReadOnly)
	return c, err
}

// OpenSource returns the libvirt daemon of a URI as a Source: what Record wants.
// It never dials.
func OpenSource(uri string, readOnly bool) (Source, error) { return newLive(uri, readOnly) }

// Close ends the collector's connections and a gather that runs.
func (c *Collector) Close() error { return c.src.Close() }

// Gather collects once and passes the samples to emit, which it calls from this
// goroutine only. now is the time of the gather and of all its samples, so that
// they can be joined; rates are computed from when each answer came.
//
// A host that cannot be asked is an error and a sample of novacron_host with
// up=0; the next gather connects again. Some domains that cannot be asked are
// an error too, after the samples of all others. A hung domain is no error but
// a metric.
func (c *Collector) Gather(ctx context.Context, now time.Time, emit func(sample.Sample)) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	ctx, cancel := context.WithTimeoutCause(ctx, c.o.Timeout,
		fault.Errorf(fault.Unavailable, "the host did not answer within %v", c.o.Timeout))
	defer cancel()
	g := &gather{c: c, now: now, start: time.Now(), emit: emit, before: c.src.Usage()}
	err := g.run(ctx)
	c.gathers++
	if err != nil {
		c.failures++
		err = fmt.Errorf("gather %s: %w", c.uri, err)
	}
	g.emitHealth()
	c.forget(now)
	return err
}

// hostname returns what the host calls itself, or as long as it has not said,
// where we look for it.
func (c *Collector) hostname() string {
	if c.id.Hostname != "" {
		return c.id.Hostname
	}
	if c.remote != "" {
		return c.remote
	}
	name, err := os.Hostname()
	if err != nil {
		return "localhost"
	}
	return name
}
