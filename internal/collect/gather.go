package collect

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/novacron/terraform-provider-novacron/internal/sample"
)

// gather is one run of a collector.
type gather struct {
	c     *Collector
	now   time.Time // of the gather, as the caller sees it
	start time.Time // the same on the clock that we measure with
	emit  func(sample.Sample)
	host  string

	readings []*reading
	reached  time.Time // when the host had answered
	latency  time.Duration
	node     *Node // nil when not asked or not answered
	before   Usage

	errs                          []error
	collected, hung, busy, stalls uint64
}

func (g *gather) wants(group Group) bool { return g.c.groups[group] }

// clock returns the time that the caller's clock shows.
func (g *gather) clock() time.Time { return g.now.Add(time.Since(g.start)) }

// fail notes a failure that leaves the rest of the gather worth doing.
func (g *gather) fail(err error) {
	if err != nil {
		g.errs = append(g.errs, err)
	}
}

// run asks and emits. Its error is that of the whole gather.
func (g *gather) run(ctx context.Context) error {
	err := g.reach(ctx)
	g.host = g.c.hostname()
	if err != nil {
		g.c.known = false
		g.fail(err)
		g.emitDown(err)
		return err
	}
	if g.wants(Host) {
		node, err := g.c.src.Node(ctx)
		if err == nil {
			g.node = &node
		}
		g.fail(err)
	}
	g.askDomains(ctx)
	g.emitHost()
	for _, r := range g.readings {
		if g.selected(r) {
			g.emitDomain(r)
		}
	}
	return errors.Join(g.errs...)
}

// reach asks who the host is, if that is not known, and for the state of all
// its domains.
func (g *gather) reach(ctx context.Context) error {
	c := g.c
	if !c.known {
		id, err := c.src.Identity(ctx)
		if err != nil {
			return err
		}
		c.id, c.known = id, true
	}
	asked := time.Now()
	recs, err := c.src.Stats(ctx, nil, lightGroups(c.groups))
	if err != nil {
		return err
	}
	g.latency = time.Since(asked)
	g.reached = g.clock()
	for i := range recs {
		r := &reading{domain: c.domain(recs[i].Dom, g.now), dom: recs[i].Dom, at: g.reached}
		r.parse(recs[i].Params)
		g.readings = append(g.readings, r)
	}
	slices.SortFunc(g.readings, func(a, b *reading) int {
		return cmp.Or(cmp.Compare(a.dom.Name, b.dom.Name), slices.Compare(a.dom.UUID[:], b.dom.UUID[:]))
	})
	return nil
}

func (g *gather) selected(r *reading) bool { return g.c.o.Select == nil || g.c.o.Select(r.dom.Name) }

// emitDomain sends everything about one domain.
func (g *gather) emitDomain(r *reading) {
	g.collected++
	if r.stuck.hung {
		g.hung++
	}
	if g.wants(State) {
		g.emitState(r)
	}
	if g.wants(Net) {
		g.emitNICs(r)
	}
	if !r.asked {
		return
	}
	g.emitCPU(r)
	if g.wants(Memory) {
		g.emitMemory(r)
	}
	if g.wants(Block) {
		g.emitDisks(r)
	}
}

// emitBoth sends the counters and the gauges of one series, those that there are.
func (g *gather) emitBoth(name string, tags []sample.Tag, counters, gauges []sample.Field) {
	if len(counters) > 0 {
		g.emit(sample.Sample{Name: name, Time: g.now, Type: sample.Counter, Tags: slices.Clone(tags), Fields: counters})
	}
	if len(gauges) > 0 {
		g.emit(sample.Sample{Name: name, Time: g.now, Type: sample.Gauge, Tags: tags, Fields: gauges})
	}
}
