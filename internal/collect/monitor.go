package collect

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	libvirt "github.com/digitalocean/go-libvirt"

	"github.com/novacron/terraform-provider-novacron/internal/fault"
)

// lightGroups are the statistics that libvirt has without asking a hypervisor
// process. CPU time is not among them: with a QEMU that counts halt polling
// libvirt asks for that too.
func lightGroups(groups map[Group]bool) libvirt.DomainStatsTypes {
	out := libvirt.DomainStatsState
	if groups[Net] {
		out |= libvirt.DomainStatsInterface
	}
	return out
}

// deepGroups are those that wait for the hypervisor process.
func deepGroups(groups map[Group]bool) (out libvirt.DomainStatsTypes) {
	if groups[CPU] {
		out |= libvirt.DomainStatsCPUTotal | libvirt.DomainStatsVCPU
	}
	if groups[VCPU] {
		out |= libvirt.DomainStatsVCPU
	}
	if groups[Memory] {
		out |= libvirt.DomainStatsBalloon
	}
	if groups[Block] {
		out |= libvirt.DomainStatsBlock
	}
	return out
}

// askDomains fills the readings of the active domains with what only their
// hypervisor processes know.
func (g *gather) askDomains(ctx context.Context) {
	var targets []*reading
	for _, r := range g.readings {
		if !r.active() || !g.selected(r) {
			continue
		}
		if r.stuck.hung {
			g.askControl(ctx, r) // is it still?
		}
		targets = append(targets, r)
	}
	if groups := deepGroups(g.c.groups); groups != 0 {
		a := &asker{g: g, ctx: ctx, groups: groups}
		a.freed.L = &a.mu
		again := a.batches(targets)
		a.alone(again)
		g.stalls = a.stalls
		g.fail(a.err())
		g.judge(ctx, targets, groups)
	}
	g.readProfiles(ctx)
	for _, r := range g.readings {
		r.resize()
	}
}

// askControl finds out whether the hypervisor process of a domain answers. A
// domain that is gone meanwhile is not hung.
func (g *gather) askControl(ctx context.Context, r *reading) {
	c, err := g.c.src.Control(ctx, r.dom)
	if err != nil {
		if !stopped(err) {
			g.fail(fmt.Errorf("control info of domain %q: %w", r.dom.Name, err))
		}
		r.stuck = control{}
		return
	}
	waits := c.State == libvirt.DomainControlOccupied && c.MS >= uint64(g.c.o.Stall.Milliseconds())/2
	r.stuck = control{hung: waits || c.State == libvirt.DomainControlError, ms: c.MS}
}

// judge looks at the domains of which only half an answer came, or none: their
// process hangs, or somebody else used the monitor just then.
func (g *gather) judge(ctx context.Context, targets []*reading, groups libvirt.DomainStatsTypes) {
	for _, r := range targets {
		tells := groups&libvirt.DomainStatsBalloon != 0 || groups&libvirt.DomainStatsBlock != 0 && len(r.disks) > 0
		switch {
		case r.monitor:
			r.stuck = control{}
		case r.stalled || r.asked && tells:
			g.askControl(ctx, r)
			if !r.stuck.hung && (tells || !r.asked) {
				g.busy++
			}
		}
	}
}

// readProfiles reads the definitions of domains that are new, or have an
// interface that is.
func (g *gather) readProfiles(ctx context.Context) {
	var mu sync.Mutex
	var work []func()
	for _, r := range g.readings {
		if !r.active() || r.stuck.hung || !(g.selected(r) || g.wants(Host)) || !r.profile.stale(g.now, r.nics) {
			continue
		}
		work = append(work, func() {
			definition, err := g.c.src.XML(ctx, r.dom)
			if err == nil {
				r.profile, err = parseProfile(definition, g.now)
			}
			if err == nil || stopped(err) {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			g.fail(fmt.Errorf("definition of domain %q: %w", r.dom.Name, err))
		})
	}
	inParallel(work)
}

// resize notes how big the domain is, from the newest that is known.
func (r *reading) resize() {
	if n := cmp.Or(r.online, r.profile.vcpus); n != 0 {
		r.size.vcpus = n
	}
	most, _ := r.balloon.get(memMaximum)
	if n := cmp.Or(most, r.profile.memory); n != 0 {
		r.size.memory = n
	}
}

// stopped reports whether err only says that the domain is gone or no longer
// runs.
func stopped(err error) bool {
	var e libvirt.Error
	return errors.Is(err, fault.NotFound) || errors.As(err, &e) && e.Code == uint32(libvirt.ErrOperationInvalid)
}

// asker puts the requests that may hang: at most inFlight at a time, each given
// up after the collector's Stall, and none once maxStuck were left behind.
type asker struct {
	g      *gather
	ctx    context.Context
	groups libvirt.DomainStatsTypes

	mu      sync.Mutex
	freed   sync.Cond // a request came back
	running int       // requests that may yet get stuck
	stuck   int       // requests of ours that hold a worker of libvirtd
	stalls  uint64
	skipped int
	errs    []error
}

// batches asks about batchSize domains at a time and returns those whose batch
// stalled.
func (a *asker) batches(targets []*reading) (again []*reading) {
	for _, r := range targets {
		if r.stuck.hung {
			a.stuck++
		}
	}
	var work []func()
	for batch := range slices.Chunk(targets, batchSize) {
		work = append(work, func() {
			if a.ask(batch) {
				a.mu.Lock()
				defer a.mu.Unlock()
				again = append(again, batch...)
			}
		})
	}
	inParallel(work)
	return again
}

// alone asks about one domain at a time. Those whose process hangs and made the
// batch stall are answered at once now, with what needs no process: the request
// that was given up still holds their monitor. A second hung one stalls alone.
func (a *asker) alone(rs []*reading) {
	var work []func()
	for _, r := range rs {
		work = append(work, func() {
			a.ask([]*reading{r})
		})
	}
	inParallel(work)
}

// ask puts one request and spreads its answer; stalled says that it was given
// up.
func (a *asker) ask(rs []*reading) (stalled bool) {
	if !a.enter(len(rs)) {
		return false
	}
	doms := make([]libvirt.Domain, len(rs))
	byID := make(map[libvirt.UUID]*reading, len(rs))
	for i, r := range rs {
		doms[i], byID[r.dom.UUID] = r.dom, r
	}
	ctx, cancel := context.WithTimeout(a.ctx, a.g.c.o.Stall)
	defer cancel()
	recs, err := a.g.c.src.Stats(ctx, doms, a.groups)
	at := a.g.clock()
	stalled = err != nil && ctx.Err() != nil && a.ctx.Err() == nil
	a.leave(rs, stalled, err)
	for i := range recs {
		if r := byID[recs[i].Dom.UUID]; r != nil && err == nil {
			r.parse(recs[i].Params)
			r.asked, r.deepAt = true, at
		}
	}
	return stalled
}

// enter reports whether another request may be put, once that is certain: with
// the requests under way no more than maxStuck may get stuck.
func (a *asker) enter(domains int) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	for a.stuck < maxStuck && a.stuck+a.running >= maxStuck {
		a.freed.Wait()
	}
	if a.stuck >= maxStuck {
		a.skipped += domains
		return false
	}
	a.running++
	return true
}

// leave notes how a request ended.
func (a *asker) leave(rs []*reading, stalled bool, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.running--
	a.freed.Broadcast()
	switch {
	case stalled:
		a.stuck++
		a.stalls++
		for _, r := range rs {
			r.stalled = true
		}
	case err != nil && !stopped(err):
		a.errs = append(a.errs, fmt.Errorf("statistics of %s: %w", names(rs), err))
	}
}

// err returns what went wrong. A stall is not an error: the domain is reported.
func (a *asker) err() error {
	if a.skipped > 0 {
		a.errs = append(a.errs, fault.Errorf(fault.Busy,
			"%d domains not asked: %d domains hang and each keeps one of libvirtd's workers; look for what they hang on (storage?), destroying them frees libvirtd",
			a.skipped, a.stuck))
	}
	return errors.Join(a.errs...)
}

// names lists a few domains for a message.
func names(rs []*reading) string {
	if len(rs) == 1 {
		return fmt.Sprintf("domain %q", rs[0].dom.Name)
	}
	return fmt.Sprintf("%d domains (%q, ...)", len(rs), rs[0].dom.Name)
}

// inParallel runs the functions, inFlight at a time, and returns when all have.
func inParallel(work []func()) {
	if len(work) == 1 {
		work[0]()
		return
	}
	next := make(chan func())
	var wg sync.WaitGroup
	for range min(inFlight, len(work)) {
		wg.Go(func() {
			for f := range next {
				f()
			}
		})
	}
	for _, f := range work {
		next <- f
	}
	close(next)
	wg.Wait()
}
