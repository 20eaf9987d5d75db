// Package novacron is the Telegraf input that watches libvirt hosts and their
// domains.
package novacron

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/influxdata/telegraf"
	"github.com/influxdata/telegraf/config"
	"github.com/influxdata/telegraf/filter"
	"github.com/influxdata/telegraf/plugins/inputs"

	"github.com/novacron/terraform-provider-novacron/internal/collect"
	"github.com/novacron/terraform-provider-novacron/internal/fault"
	"github.com/novacron/terraform-provider-novacron/internal/sample"
	"github.com/novacron/terraform-provider-novacron/plugins/internal/tmetric"
)

//go:embed sample.conf
var sampleConfig string

// Novacron is the plugin; its fields are its configuration. Telegraf calls
// Init once, then Start, Gather every interval and at last Stop. Connections
// are made by Gather and ended by Stop.
type Novacron struct {
	URIs     []string        `toml:"uris"`
	Groups   []string        `toml:"groups"`
	Include  []string        `toml:"domains_include"`
	Exclude  []string        `toml:"domains_exclude"`
	Timeout  config.Duration `toml:"timeout"`
	ReadOnly bool            `toml:"read_only"`

	Log telegraf.Logger `toml:"-"`

	hosts  []*host
	ctx    context.Context // ends at Stop
	cancel context.CancelFunc
	source func(uri string) collect.Source // nil asks libvirt; tests replay
}

// host is one URI and how its last gather went.
type host struct {
	uri  string
	c    *collect.Collector
	hung map[string]bool // domains, to log a change once
}

// New returns the plugin with its defaults.
func New() *Novacron {
	return &Novacron{Timeout: config.Duration(5 * time.Second), ReadOnly: true}
}

// SampleConfig returns the documented configuration.
func (*Novacron) SampleConfig() string { return sampleConfig }

// Init validates the configuration. It does not connect.
func (n *Novacron) Init() error {
	if n.Timeout <= 0 {
		return fault.At("timeout", fault.Errorf(fault.Invalid, "timeout is %v: want more than 0", time.Duration(n.Timeout)))
	}
	if len(n.URIs) == 0 {
		n.URIs = []string{defaultURI(os.Getenv("LIBVIRT_DEFAULT_URI"), os.Geteuid())}
	}
	names, err := filter.NewIncludeExcludeFilter(n.Include, n.Exclude)
	if err != nil {
		return fault.As(fault.Invalid, fmt.Errorf("domains_include and domains_exclude: %w", err))
	}
	o := collect.Options{Timeout: time.Duration(n.Timeout), ReadOnly: n.ReadOnly, Select: names.Match}
	for _, g := range n.Groups {
		o.Groups = append(o.Groups, collect.Group(g))
	}
	for i, uri := range n.URIs {
		if slices.Contains(n.URIs[:i], uri) {
			return fault.At("uris", fault.Errorf(fault.Invalid, "uris names %q twice: its metrics would be sent twice", uri))
		}
		o.URI = uri
		if n.source != nil {
			o.Source = n.source(uri)
		}
		c, err := collect.New(o)
		if err != nil {
			return err
		}
		n.hosts = append(n.hosts, &host{uri: uri, c: c, hung: make(map[string]bool)})
	}
	n.ctx, n.cancel = context.WithCancel(context.Background())
	return nil
}

// Start does nothing: the first Gather connects, and a host that is down then
// is one that is reported, not one that keeps Telegraf from starting.
func (*Novacron) Start(telegraf.Accumulator) error { return nil }

// Stop ends a gather that runs, and the connections.
func (n *Novacron) Stop() {
	n.cancel()
	for _, h := range n.hosts {
		if err := h.c.Close(); err != nil {
			n.Log.Warnf("Closing %s: %v", h.uri, err)
		}
	}
}

// Gather collects from all hosts at the same time. What fails is an error of
// the accumulator, so that it is counted and the others' metrics are kept.
func (n *Novacron) Gather(acc telegraf.Accumulator) error {
	now := time.Now()
	var wg sync.WaitGroup
	for _, h := range n.hosts {
		wg.Go(func() {
			err := h.c.Gather(n.ctx, now, func(s sample.Sample) {
				n.watch(h, &s)
				acc.AddMetric(tmetric.Metric(&s))
			})
			if err != nil && !errors.Is(n.ctx.Err(), context.Canceled) {
				acc.AddError(withHint(err))
			}
		})
	}
	wg.Wait()
	return nil
}

// watch logs when a domain begins and ceases to hang: the metric may go where
// nobody looks.
func (n *Novacron) watch(h *host, s *sample.Sample) {
	if s.Name != "novacron_domain" {
		return
	}
	id, name := s.Tag("uuid"), s.Tag("domain")
	hung, _ := s.Float("hung")
	switch {
	case hung == 1 && !h.hung[id]:
		h.hung[id] = true
		n.Log.Warnf("Domain %q of %s hangs: its QEMU process does not answer libvirt", name, h.uri)
	case hung == 0 && h.hung[id]:
		delete(h.hung, id)
		n.Log.Infof("Domain %q of %s answers again", name, h.uri)
	}
}

// withHint puts what the user can do behind the error, which Telegraf prints as
// it is.
func withHint(err error) error {
	if hint := fault.HintOf(err); hint != "" {
		return fmt.Errorf("%w (%s)", err, hint)
	}
	return err
}

// defaultURI returns the host to watch when none is configured: the same that
// the provider and virsh use.
func defaultURI(env string, uid int) string {
	switch {
	case env != "":
		return env
	case uid == 0:
		return "qemu:///system"
	}
	return "qemu:///session"
}

func init() {
	inputs.Add("novacron", func() telegraf.Input { return New() })
}
