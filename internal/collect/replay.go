package collect

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"

	libvirt "github.com/digitalocean/go-libvirt"

	"github.com/novacron/terraform-provider-novacron/internal/fault"
)

// Recorded is what a host answered in one gather: all that a collector asks
// for.
type Recorded struct {
	Identity Identity         `json:"identity"`
	Node     Node             `json:"node"`
	Domains  []RecordedDomain `json:"domains"`
}

// RecordedDomain is what a host said about one domain. Params are libvirt's
// statistics under their own names.
type RecordedDomain struct {
	Name    string         `json:"name"`
	UUID    string         `json:"uuid"` // 32 hexadecimal digits
	ID      int32          `json:"id"`
	Params  map[string]any `json:"params"`
	Control Control        `json:"control"`
	XML     string         `json:"xml,omitempty"`
}

// Record asks src everything once.
func Record(ctx context.Context, src Source) (r Recorded, err error) {
	if r.Identity, err = src.Identity(ctx); err != nil {
		return r, err
	}
	if r.Node, err = src.Node(ctx); err != nil {
		return r, err
	}
	all := lightGroups(map[Group]bool{Net: true}) | deepGroups(map[Group]bool{CPU: true, VCPU: true, Memory: true, Block: true})
	recs, err := src.Stats(ctx, nil, all)
	if err != nil {
		return r, err
	}
	for i := range recs {
		dom := recs[i].Dom
		d := RecordedDomain{Name: dom.Name, UUID: hex.EncodeToString(dom.UUID[:]), ID: dom.ID, Params: make(map[string]any)}
		for _, p := range recs[i].Params {
			d.Params[p.Field] = p.Value.I
		}
		if dom.ID >= 0 {
			if d.Control, err = src.Control(ctx, dom); err != nil {
				return r, err
			}
			if d.XML, err = src.XML(ctx, dom); err != nil {
				return r, err
			}
		}
		r.Domains = append(r.Domains, d)
	}
	return r, nil
}

// Replay is a Source that answers from a recording: one Recorded for each
// gather, in order. After the last one the host is unavailable.
type Replay struct {
	mu    sync.Mutex
	left  []Recorded
	now   Recorded
	usage Usage
}

// NewReplay reads a recording: a JSON array of Recorded.
func NewReplay(r io.Reader) (*Replay, error) {
	dec := json.NewDecoder(r)
	dec.UseNumber() // 64-bit counters do not fit into float64
	var out Replay
	if err := dec.Decode(&out.left); err != nil {
		return nil, fault.As(fault.Invalid, fmt.Errorf("read the recording: %w", err))
	}
	for _, g := range out.left {
		for _, d := range g.Domains {
			if _, err := d.domain(); err != nil {
				return nil, fault.As(fault.Invalid, fmt.Errorf("read the recording: UUID of domain %q: %w", d.Name, err))
			}
			for k, v := range d.Params {
				d.Params[k] = number(v)
			}
		}
	}
	return &out, nil
}

// number turns what JSON read into what libvirt would have sent.
func number(v any) any {
	n, ok := v.(json.Number)
	if !ok {
		return v
	}
	if u, err := strconv.ParseUint(n.String(), 10, 64); err == nil {
		return u
	}
	if i, err := n.Int64(); err == nil {
		return i
	}
	f, _ := n.Float64()
	return f
}

func (d *RecordedDomain) domain() (libvirt.Domain, error) {
	dom := libvirt.Domain{Name: d.Name, ID: d.ID}
	b, err := hex.DecodeString(d.UUID)
	if err == nil && len(b) != len(dom.UUID) {
		err = fmt.Errorf("%q is not %d bytes", d.UUID, len(dom.UUID))
	}
	copy(dom.UUID[:], b)
	return dom, err
}

// Identity returns that of the next gather, which a collector asks for first.
func (r *Replay) Identity(context.Context) (Identity, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.usage.Calls++
	if len(r.left) == 0 {
		return Identity{}, errReplayed
	}
	return r.left[0].Identity, nil
}

var errReplayed = fault.Errorf(fault.Unavailable, "the recording is at its end")

// Node returns the load of the host.
func (r *Replay) Node(context.Context) (Node, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.usage.Calls++
	return r.now.Node, nil
}

// Stats returns the statistics of the domains; the request for all of them
// begins the next gather.
func (r *Replay) Stats(_ context.Context, doms []libvirt.Domain, groups libvirt.DomainStatsTypes) (out []libvirt.DomainStatsRecord, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.usage.Calls++
	if len(doms) == 0 {
		if len(r.left) == 0 {
			return nil, errReplayed
		}
		r.now, r.left = r.left[0], r.left[1:]
	}
	for i := range r.now.Domains {
		d := &r.now.Domains[i]
		dom, _ := d.domain()
		if len(doms) > 0 && !slices.ContainsFunc(doms, func(x libvirt.Domain) bool { return x.UUID == dom.UUID }) {
			continue
		}
		rec := libvirt.DomainStatsRecord{Dom: dom}
		for k, v := range d.Params {
			if groups&groupOf(k) != 0 {
				rec.Params = append(rec.Params, libvirt.TypedParam{Field: k, Value: libvirt.TypedParamValue{I: v}})
			}
		}
		out = append(out, rec)
	}
	return out, nil
}

// groupOf returns the group that libvirt sends a parameter with.
func groupOf(param string) libvirt.DomainStatsTypes {
	name, _, _ := strings.Cut(param, ".")
	switch name {
	case "state":
		return libvirt.DomainStatsState
	case "cpu":
		return libvirt.DomainStatsCPUTotal
	case "balloon":
		return libvirt.DomainStatsBalloon
	case "vcpu":
		return libvirt.DomainStatsVCPU
	case "net":
		return libvirt.DomainStatsInterface
	case "block":
		return libvirt.DomainStatsBlock
	}
	return 0
}

// find returns what was recorded of a domain.
func (r *Replay) find(dom libvirt.Domain) (*RecordedDomain, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.usage.Calls++
	for i := range r.now.Domains {
		if b, _ := hex.DecodeString(r.now.Domains[i].UUID); bytes.Equal(b, dom.UUID[:]) {
			return &r.now.Domains[i], nil
		}
	}
	return nil, fault.Errorf(fault.NotFound, "domain %q is not in the recording", dom.Name)
}

// Control returns what was recorded.
func (r *Replay) Control(_ context.Context, dom libvirt.Domain) (Control, error) {
	d, err := r.find(dom)
	if err != nil {
		return Control{}, err
	}
	return d.Control, nil
}

// XML returns what was recorded.
func (r *Replay) XML(_ context.Context, dom libvirt.Domain) (string, error) {
	d, err := r.find(dom)
	if err != nil {
		return "", err
	}
	return d.XML, nil
}

// Usage counts the requests; there are no connections.
func (r *Replay) Usage() Usage {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.usage
}

// Close does nothing.
func (r *Replay) Close() error { return nil }
