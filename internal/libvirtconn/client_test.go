//go:build linux

package libvirtconn

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	libvirt "github.com/digitalocean/go-libvirt"

	"github.com/novacron/terraform-provider-novacron/internal/fault"
	"github.com/novacron/terraform-provider-novacron/internal/lab"
)

// version is a call that any daemon answers at once.
func version(l *libvirt.Libvirt) error {
	_, err := l.ConnectGetLibVersion()
	return err
}

// untilError calls the daemon again and again.
func untilError(started chan<- struct{}) func(l *libvirt.Libvirt) error {
	var once sync.Once
	return func(l *libvirt.Libvirt) error {
		for {
			if err := version(l); err != nil {
				return err
			}
			once.Do(func() { close(started) })
		}
	}
}

func wantKind(t *testing.T, call string, err error, kind fault.Kind, text string) {
	t.Helper()
	if fault.KindOf(err) != kind || !strings.Contains(fmt.Sprint(err), text) {
		t.Errorf("%s = %v (%s), want %s with %q", call, err, fault.KindOf(err), kind, text)
	}
}

func TestClient(t *testing.T) {
	ctx := t.Context()
	h := lab.ForTest(t)
	uri := "qemu:///system?socket=" + h.Socket()

	t.Run("calls one after another share a connection", func(t *testing.T) {
		c := newClient(t, Options{URI: uri})
		for range 20 {
			if err := c.Do(ctx, version); err != nil {
				t.Fatal(err)
			}
		}
		if s := c.Stats(); s != (Stats{Dials: 1, Calls: 20, Open: 1}) {
			t.Errorf("Stats() = %+v, want 20 calls over 1 connection", s)
		}
	})

	t.Run("fifty callers at once share eight connections", func(t *testing.T) {
		check := leaks(t)
		c := newClient(t, Options{URI: uri})
		var inside, most atomic.Int64
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				for range 10 {
					err := c.Do(ctx, func(l *libvirt.Libvirt) error {
						n := inside.Add(1)
						defer inside.Add(-1)
						for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
						}
						return version(l)
					})
					if err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		if s := c.Stats(); s.Dials > 8 || s.Calls != 500 || most.Load() > 8 {
			t.Errorf("Stats() = %+v with at most %d calls at once; want 500 calls over at most 8", s, most.Load())
		}
		c.Close()
		check()
	})

	t.Run("a daemon killed between calls is not noticed", func(t *testing.T) {
		c := newClient(t, Options{URI: uri})
		for range 3 {
			if err := c.Do(ctx, version); err != nil {
				t.Fatal(err)
			}
			if err := h.Restart(ctx); err != nil {
				t.Fatal(err)
			}
		}
		if err := c.Do(ctx, version); err != nil {
			t.Errorf("Do after restarts = %v, want nil", err)
		}
		if s := c.Stats(); s.Dials != 4 || s.Open != 1 {
			t.Errorf("Stats() = %+v, want 4 dials and 1 open", s)
		}
	})

	t.Run("a daemon killed during a call is unavailable, then back", func(t *testing.T) {
		c := newClient(t, Options{URI: uri})
		started, done := make(chan struct{}), make(chan error, 1)
		go func() { done <- c.Do(ctx, untilError(started)) }()
		<-started
		if err := h.Restart(ctx); err != nil {
			t.Fatal(err)
		}
		err := <-done
		wantKind(t, "Do", err, fault.Unavailable, "the connection broke")
		if err := c.Do(ctx, version); err != nil {
			t.Errorf("the next Do = %v, want nil", err)
		}
	})

	t.Run("a canceled context ends a call to a hung daemon", func(t *testing.T) {
		c := newClient(t, Options{URI: uri})
		if err := c.Do(ctx, version); err != nil {
			t.Fatal(err)
		}
		if err := h.Suspend(); err != nil {
			t.Fatal(err)
		}
		cctx, cancel := context.WithCancel(ctx)
		time.AfterFunc(50*time.Millisecond, cancel)
		begin := time.Now()
		err := c.Do(cctx, version)
		took := time.Since(begin)
		if err := h.Resume(); err != nil {
			t.Fatal(err)
		}
		wantKind(t, "Do", err, fault.Canceled, "context canceled")
		if took > time.Second {
			t.Errorf("Do returned after %v, want at once when canceled", took)
		}
		if err := c.Do(ctx, version); err != nil {
			t.Errorf("the next Do = %v, want nil", err)
		}
	})

	t.Run("dialing a hung daemon ends with the dial timeout", func(t *testing.T) {
		check := leaks(t)
		c := newClient(t, Options{URI: uri, DialTimeout: 100 * time.Millisecond})
		if err := h.Suspend(); err != nil {
			t.Fatal(err)
		}
		err := c.Do(ctx, version)
		if err := h.Resume(); err != nil {
			t.Fatal(err)
		}
		wantKind(t, "Do", err, fault.Unavailable, "no answer within 100ms")
		check()
	})

	t.Run("read-only connections change nothing", func(t *testing.T) {
		for _, u := range []string{uri, "qemu:///system?socket=" + strings.Replace(h.Socket(), "libvirt-sock", "libvirt-sock-ro", 1)} {
			c := newClient(t, Options{URI: u, ReadOnly: true})
			if err := c.Do(ctx, version); err != nil {
				t.Errorf("%s: Do = %v, want nil", u, err)
			}
			err := c.Do(ctx, func(l *libvirt.Libvirt) error {
				_, err := l.DomainDefineXML("<domain/>")
				return err
			})
			wantKind(t, u, err, fault.Denied, "read only access")
		}
	})

	t.Run("errors keep their code and get their kind", func(t *testing.T) {
		c := newClient(t, Options{URI: uri})
		err := c.Do(ctx, func(l *libvirt.Libvirt) error {
			_, err := l.DomainLookupByName("nobody")
			return fmt.Errorf("look up VM: %w", err)
		})
		wantKind(t, "Do", err, fault.NotFound, "look up VM: Domain not found")
		var le libvirt.Error
		if !errors.As(err, &le) || le.Code != uint32(libvirt.ErrNoDomain) {
			t.Errorf("errors.As(%v) = %+v, want code %d", err, le, libvirt.ErrNoDomain)
		}
	})

	t.Run("a long call lives as long as the daemon answers", func(t *testing.T) {
		testLongCall(t, h, uri)
	})
}

// testLongCall hangs a call in QEMU, which is not the daemon's silence.
func testLongCall(t *testing.T, h *lab.Host, uri string) {
	ctx := t.Context()
	c := newClient(t, Options{URI: uri, PingInterval: 200 * time.Millisecond})
	var d libvirt.Domain
	name := fmt.Sprintf("stuck-%d", os.Getpid()) // no other guest on this machine
	err := c.Do(ctx, func(l *libvirt.Libvirt) (err error) {
		d, err = l.DomainCreateXML(`<domain type='qemu'><name>`+name+`</name><memory unit='MiB'>32</memory>
<os><type arch='x86_64'>hvm</type></os></domain>`, libvirt.DomainStartPaused)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Do(ctx, func(l *libvirt.Libvirt) error { return l.DomainDestroy(d) })
	qemu := findQEMU(t, "guest="+name)
	stop(t, qemu, true)
	time.AfterFunc(2*time.Second, func() { stop(t, qemu, false) })
	begin := time.Now()
	err = c.Do(ctx, func(l *libvirt.Libvirt) error {
		_, err := l.QEMUDomainMonitorCommand(d, `{"execute":"query-status"}`, 0)
		return err
	})
	if took := time.Since(begin); err != nil || took < 1900*time.Millisecond {
		t.Errorf("Do with a hung QEMU = %v after %v, want nil after 2 s: ten pings were answered", err, took)
	}
}

func TestBlackHole(t *testing.T) {
	ctx := t.Context()
	h := lab.ForTest(t)
	for _, network := range []string{"unix", "tcp"} {
		t.Run(network, func(t *testing.T) {
			p := newProxy(t, network, h.Socket())
			check := leaks(t)
			c := newClient(t, Options{URI: p.uri("qemu", "/system"), PingInterval: 200 * time.Millisecond})
			c.pool.rules = idleRules{keep: time.Minute, trust: 0, check: time.Second}
			started, done := make(chan struct{}), make(chan error, 1)
			begin := time.Now()
			go func() { done <- c.Do(ctx, untilError(started)) }()
			<-started
			p.freeze(true)
			err := <-done
			wantKind(t, "Do", err, fault.Unavailable, "the host stopped answering")
			if took := time.Since(begin); took > 5*time.Second {
				t.Errorf("Do returned after %v, want about four pings of 200 ms", took)
			}
			p.freeze(false)
			if err := c.Do(ctx, version); err != nil {
				t.Fatalf("Do when the network is back = %v, want nil", err)
			}
			// Now the link dies while the connection is idle, and a new one works.
			p.freeze(true)
			time.AfterFunc(100*time.Millisecond, func() { p.cut(); p.freeze(false) })
			if err := c.Do(ctx, version); err != nil {
				t.Errorf("Do after the idle link died = %v, want nil", err)
			}
			c.Close()
			p.cut()
			check()
		})
	}
}

func TestCallTimeoutCutsTheConnection(t *testing.T) {
	ctx := t.Context()
	h := lab.ForTest(t)
	p := newProxy(t, "unix", h.Socket())
	c := newClient(t, Options{URI: p.uri("qemu", "/system"), CallTimeout: 500 * time.Millisecond})
	err := c.Do(ctx, untilError(make(chan struct{})))
	wantKind(t, "Do", err, fault.Unavailable, "the call took longer than 500ms")
	if err := c.Do(ctx, version); err != nil {
		t.Errorf("the next Do = %v, want nil", err)
	}
	dctx, cancel := context.WithTimeout(ctx, 30*time.Millisecond)
	defer cancel()
	wantKind(t, "Do with a deadline", c.Do(dctx, untilError(make(chan struct{}))), fault.Unavailable, "context deadline exceeded")
}

func TestIdleConnectionsAreClosed(t *testing.T) {
	ctx := t.Context()
	h := lab.ForTest(t)
	c := newClient(t, Options{URI: "qemu:///system?socket=" + h.Socket()})
	c.pool.rules.keep = 100 * time.Millisecond
	if err := c.Do(ctx, version); err != nil {
		t.Fatal(err)
	}
	for range 100 {
		if c.Stats().Open == 0 {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	if s := c.Stats(); s.Open != 0 {
		t.Errorf("Stats() = %+v long after the last call, want none open", s)
	}
	if err := c.Do(ctx, version); err != nil {
		t.Errorf("the next Do = %v, want nil", err)
	}
}

func TestMockHostOutlivesIdleness(t *testing.T) {
	ctx := t.Context()
	h := lab.ForTest(t)
	c := newClient(t, Options{URI: "test:///default?socket=" + h.Socket()})
	define := func(l *libvirt.Libvirt) error {
		_, err := l.DomainDefineXML(`<domain type='test'><name>kept</name><memory>1</memory><os><type>hvm</type></os></domain>`)
		return err
	}
	if err := c.Do(ctx, define); err != nil {
		t.Fatal(err)
	}
	if c.pool.rules.keep != 0 {
		t.Errorf("a mock host's connections are kept %v, want for ever", c.pool.rules.keep)
	}
	err := c.Do(ctx, func(l *libvirt.Libvirt) error {
		_, err := l.DomainLookupByName("kept")
		return err
	})
	if err != nil {
		t.Errorf("look up what the call before defined: %v", err)
	}
}

func TestClosedClient(t *testing.T) {
	ctx := t.Context()
	h := lab.ForTest(t)
	check := leaks(t)
	c := newClient(t, Options{URI: "qemu:///system?socket=" + h.Socket()})
	started, done := make(chan struct{}), make(chan error, 1)
	go func() { done <- c.Do(ctx, untilError(started)) }()
	<-started
	if err := c.Close(); err != nil {
		t.Errorf("Close() = %v", err)
	}
	wantKind(t, "the running Do", <-done, fault.Unavailable, "closed by its owner")
	wantKind(t, "a later Do", c.Do(ctx, version), fault.Unavailable, "closed by its owner")
	wantKind(t, "a later Stream", c.Stream(ctx, version), fault.Unavailable, "closed by its owner")
	if err := c.Close(); err != nil {
		t.Errorf("the second Close() = %v", err)
	}
	check()
	if s := c.Stats(); s.Open != 0 {
		t.Errorf("Stats() = %+v after Close, want none open", s)
	}
}

func BenchmarkDo(b *testing.B) {
	h := lab.ForTest(b)
	c, err := New(Options{URI: "qemu:///system?socket=" + h.Socket()})
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	b.Run("one call a Do", func(b *testing.B) {
		for b.Loop() {
			if err := c.Do(b.Context(), version); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("calls in one Do", func(b *testing.B) {
		err := c.Do(b.Context(), func(l *libvirt.Libvirt) error {
			for b.Loop() {
				if err := version(l); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
	})
}
