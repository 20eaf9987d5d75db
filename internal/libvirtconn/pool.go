package libvirtconn

import (
	"context"
	"sync"
	"time"
)

// pool lends connections, each to one borrower at a time. Safe for concurrent
// use. It starts no goroutine; a timer runs while connections are idle.
type pool struct {
	dial  func(context.Context) (*conn, error)
	slots chan struct{} // one token per borrower
	rules idleRules

	mu     sync.Mutex
	idle   []*conn // the one used last is at the end
	timer  *time.Timer
	closed bool
}

func newPool(size int, rules idleRules, dial func(context.Context) (*conn, error)) *pool {
	return &pool{dial: dial, slots: make(chan struct{}, size), rules: rules}
}

// get lends a connection that was alive a moment ago. Every get that succeeds
// needs its put.
func (p *pool) get(ctx context.Context) (*conn, error) {
	select {
	case p.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, ended(ctx, "waiting for one of %d connections", cap(p.slots))
	}
	if ctx.Err() != nil {
		<-p.slots
		return nil, ended(ctx, "before the call began")
	}
	if cn := p.reuse(ctx); cn != nil {
		return cn, nil
	}
	cn, err := p.dial(ctx)
	if err != nil {
		<-p.slots
		return nil, err
	}
	return cn, nil
}

// reuse returns an idle connection that works, or nil.
func (p *pool) reuse(ctx context.Context) *conn {
	for cn := p.take(); cn != nil; cn = p.take() {
		if cn.isCut() {
			continue
		}
		if cn.healthy(ctx, p.rules) {
			return cn
		}
		cn.cut(errStale)
		p.drop() // the others have been idle for longer
	}
	return nil
}

// drop closes all idle connections.
func (p *pool) drop() {
	for cn := p.take(); cn != nil; cn = p.take() {
		cn.cut(errStale)
	}
}

// take pops the connection that was used last.
func (p *pool) take() *conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := len(p.idle)
	if n == 0 {
		return nil
	}
	cn := p.idle[n-1]
	p.idle[n-1] = nil
	p.idle = p.idle[:n-1]
	return cn
}

// put takes a connection back, or drops it if it is broken or still in use by
// something that its borrower left behind.
func (p *pool) put(cn *conn) {
	defer func() { <-p.slots }()
	cn.idleSince = time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || cn.isCut() {
		cn.cut(errFinished)
		return
	}
	p.idle = append(p.idle, cn)
	p.arm()
}

// arm starts the timer that closes idle connections. Called with mu held.
func (p *pool) arm() {
	if p.rules.keep > 0 && p.timer == nil {
		p.timer = time.AfterFunc(p.rules.keep, p.sweep)
	}
}

// sweep closes what has been idle for too long. It runs on the timer's own
// goroutine.
func (p *pool) sweep() {
	for _, cn := range p.expired() {
		cn.bye()
	}
}

func (p *pool) expired() []*conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.timer = nil
	var old, keep []*conn
	for _, cn := range p.idle {
		if cn.isCut() || time.Since(cn.idleSince) >= p.rules.keep {
			old = append(old, cn)
			continue
		}
		keep = append(keep, cn)
	}
	p.idle = keep
	if len(keep) > 0 && !p.closed {
		p.arm()
	}
	return old
}

// close drops the idle connections; borrowed ones are dropped when put back.
func (p *pool) close() {
	p.mu.Lock()
	p.closed = true
	if p.timer != nil {
		p.timer.Stop()
	}
	idle := p.idle
	p.idle = nil
	p.mu.Unlock()
	var wg sync.WaitGroup
	for _, cn := range idle {
		wg.Go(cn.bye)
	}
	wg.Wait()
}
