package collect

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	libvirt "github.com/digitalocean/go-libvirt"

	"github.com/novacron/terraform-provider-novacron/internal/fault"
	"github.com/novacron/terraform-provider-novacron/internal/sample"
)

// fakeHost is a hypervisor with the behaviour that matters here: a domain whose
// process hangs blocks the first request that needs it, for as long as it
// hangs, and that request holds its monitor: later ones get half an answer at
// once. Domains vanish, restart and reset; the host goes down and comes back.
type fakeHost struct {
	mu      sync.Mutex
	down    error
	domains []*fakeDomain
	node    Node
	usage   Usage
	left    int // requests left behind in the daemon
	ids     int // Identity calls
	closed  bool
}

type fakeDomain struct {
	dom    libvirt.Domain
	state  libvirt.DomainState
	params map[string]any
	hung   bool
	held   time.Time // since when a request holds the monitor; zero when none
}

// newFakeHost returns a host with n running domains "d0", "d1", ...
func newFakeHost(n int) *fakeHost {
	h := &fakeHost{node: Node{CPU: map[string]uint64{"user": 1e9, "kernel": 1e9, "idle": 8e9, "iowait": 0},
		Memory: map[string]uint64{"total": 8 << 20, "free": 4 << 20, "buffers": 1 << 20, "cached": 1 << 20}}}
	for i := range n {
		h.add(fmt.Sprintf("d%d", i), int32(i+1))
	}
	return h
}

func (h *fakeHost) add(name string, id int32) *fakeDomain {
	d := &fakeDomain{dom: libvirt.Domain{Name: name, ID: id}, state: libvirt.DomainRunning, params: map[string]any{
		"cpu.time": uint64(1e9), "cpu.user": uint64(6e8), "cpu.system": uint64(4e8),
		"balloon.current": uint64(1024), "balloon.maximum": uint64(2048), "balloon.rss": uint64(512), "balloon.last-update": uint64(0),
		"vcpu.current": uint32(2), "vcpu.maximum": uint32(2),
		"vcpu.0.state": int32(1), "vcpu.0.time": uint64(5e8), "vcpu.0.wait": uint64(0), "vcpu.0.delay": uint64(0),
		"vcpu.1.state": int32(1), "vcpu.1.time": uint64(5e8), "vcpu.1.wait": uint64(0), "vcpu.1.delay": uint64(0),
		"block.count": uint32(1), "block.0.name": "vda", "block.0.path": "/i/" + name,
		"block.0.rd.reqs": uint64(0), "block.0.rd.bytes": uint64(0), "block.0.rd.times": uint64(0),
		"block.0.wr.reqs": uint64(0), "block.0.wr.bytes": uint64(0), "block.0.wr.times": uint64(0),
		"block.0.fl.reqs": uint64(0), "block.0.fl.times": uint64(0),
		"block.0.capacity": uint64(1000), "block.0.allocation": uint64(250), "block.0.physical": uint64(300),
		"net.count": uint32(1), "net.0.name": "vnet-" + name, "net.0.rx.bytes": uint64(0), "net.0.tx.bytes": uint64(0),
	}}
	copy(d.dom.UUID[:], fmt.Sprintf("%016s", name))
	h.mu.Lock()
	defer h.mu.Unlock()
	h.domains = append(h.domains, d)
	return d
}

// set changes values of a domain.
func (h *fakeHost) set(i int, params map[string]any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for k, v := range params {
		h.domains[i].params[k] = v
	}
}

// hang stops the process of a domain, or lets it go on.
func (h *fakeHost) hang(i int, on bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	d := h.domains[i]
	if !on && !d.held.IsZero() {
		d.held = time.Time{}
		h.left--
	}
	d.hung = on
}

func (h *fakeHost) setDown(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.down = err
}

// begin counts a request.
func (h *fakeHost) begin() error {
	h.usage.Calls++
	return h.down
}

func (h *fakeHost) Identity(context.Context) (Identity, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ids++
	return Identity{Hostname: "hv1", LibvirtVersion: 9000000, HypervisorVersion: 7002022, CPUs: 4}, h.begin()
}

func (h *fakeHost) Node(context.Context) (Node, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.node, h.begin()
}

func (h *fakeHost) Stats(ctx context.Context, doms []libvirt.Domain, groups libvirt.DomainStatsTypes) ([]libvirt.DomainStatsRecord, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if err := h.begin(); err != nil {
		return nil, err
	}
	var out []libvirt.DomainStatsRecord
	for _, d := range h.domains {
		if len(doms) > 0 && !slices.ContainsFunc(doms, func(x libvirt.Domain) bool { return x.UUID == d.dom.UUID }) {
			continue
		}
		if d.hung && d.held.IsZero() && groups&^(libvirt.DomainStatsState|libvirt.DomainStatsInterface) != 0 {
			d.held = time.Now()
			h.left++
			h.mu.Unlock()
			<-ctx.Done()
			h.mu.Lock()
			return nil, fault.As(fault.Unavailable, context.Cause(ctx))
		}
		out = append(out, d.record(groups))
	}
	return out, nil
}

// record answers for one domain; without its monitor, as libvirt does then.
func (d *fakeDomain) record(groups libvirt.DomainStatsTypes) libvirt.DomainStatsRecord {
	rec := libvirt.DomainStatsRecord{Dom: d.dom}
	add := func(k string, v any) {
		rec.Params = append(rec.Params, libvirt.TypedParam{Field: k, Value: libvirt.TypedParamValue{I: v}})
	}
	if groups&libvirt.DomainStatsState != 0 {
		add("state.state", int32(d.state))
		add("state.reason", int32(1))
	}
	for _, k := range slices.Sorted(maps.Keys(d.params)) {
		group := map[string]libvirt.DomainStatsTypes{"cpu": libvirt.DomainStatsCPUTotal, "bal": libvirt.DomainStatsBalloon,
			"vcp": libvirt.DomainStatsVCPU, "blo": libvirt.DomainStatsBlock, "net": libvirt.DomainStatsInterface}[k[:3]]
		monitor := k == "balloon.rss" || k == "balloon.last-update" || group == libvirt.DomainStatsBlock && k != "block.0.name" && k != "block.0.path"
		if groups&group != 0 && !(d.hung && monitor) && (d.dom.ID >= 0 || group == 0) {
			add(k, d.params[k])
		}
	}
	return rec
}

func (h *fakeHost) Control(_ context.Context, dom libvirt.Domain) (Control, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if err := h.begin(); err != nil {
		return Control{}, err
	}
	for _, d := range h.domains {
		if d.dom.UUID == dom.UUID && !d.held.IsZero() {
			return Control{State: libvirt.DomainControlOccupied, MS: uint64(time.Since(d.held).Milliseconds())}, nil
		}
	}
	return Control{}, nil
}

func (h *fakeHost) XML(_ context.Context, dom libvirt.Domain) (string, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return fmt.Sprintf(`<domain><vcpu>2</vcpu><memory unit='KiB'>2048</memory><devices><interface type='network'>
		<mac address='52:54:00:00:00:01'/><target dev='vnet-%s'/><alias name='net7'/></interface></devices></domain>`, dom.Name), h.begin()
}

func (h *fakeHost) Usage() Usage {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.usage
}

func (h *fakeHost) Close() error { h.closed = true; return nil }

// rig is a collector on a fake host.
type rig struct {
	t *testing.T
	h *fakeHost
	c *Collector
}

func newRig(t *testing.T, domains int, o Options) *rig {
	t.Helper()
	h := newFakeHost(domains)
	o.URI, o.Source = "qemu+tcp://hv1/system", h
	c, err := New(o)
	if err != nil {
		t.Fatalf("New(%+v) = %v", o, err)
	}
	return &rig{t, h, c}
}

// gather collects ten seconds after the last time.
func (r *rig) gather() (batch, error) {
	time.Sleep(10 * time.Second)
	var out batch
	err := r.c.Gather(r.t.Context(), time.Now(), func(s sample.Sample) { out = append(out, s) })
	return out, err
}

func (r *rig) mustGather() batch {
	r.t.Helper()
	b, err := r.gather()
	if err != nil {
		r.t.Fatalf("Gather = %v, want no error", err)
	}
	return b
}

// batch is what one gather emitted.
type batch []sample.Sample

// value returns a field of a series, nil when it was not sent. tags are
// "key=value" pairs that must match.
func (b batch) value(name, field string, tags ...string) any {
	for i := range b {
		s := &b[i]
		if s.Name != name || slices.ContainsFunc(tags, func(kv string) bool { k, v, _ := strings.Cut(kv, "="); return s.Tag(k) != v }) {
			continue
		}
		for _, f := range s.Fields {
			if f.Key == field {
				return f.Value
			}
		}
	}
	return nil
}

// check compares fields of one series with what is wanted; nil wants none.
func (b batch) check(t *testing.T, name string, tags []string, want map[string]any) {
	t.Helper()
	for field, w := range want {
		if got := b.value(name, field, tags...); got != w {
			t.Errorf("%s%v %s = %v (%T), want %v (%T)", name, tags, field, got, got, w, w)
		}
	}
}
