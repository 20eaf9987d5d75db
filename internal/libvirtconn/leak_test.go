//go:build linux

package libvirtconn

import (
	"context"
	"errors"
	"fmt"
	"net"
	"testing"
	"time"

	libvirt "github.com/digitalocean/go-libvirt"

	"github.com/novacron/terraform-provider-novacron/internal/fault"
	"github.com/novacron/terraform-provider-novacron/internal/lab"
)

func TestAThousandFailuresLeakNothing(t *testing.T) {
	ctx := t.Context()
	h := lab.ForTest(t)
	p := newProxy(t, "tcp", h.Socket())
	good := newClient(t, Options{URI: p.uri("qemu", "/system"), MaxConns: 2})
	gone := newClient(t, Options{URI: "qemu+tcp://127.0.0.1:1/system"})
	rude := newClient(t, Options{URI: "qemu:///system", Dial: func(context.Context) (net.Conn, error) {
		a, b := net.Pipe()
		b.Close()
		return a, nil
	}})
	boom := errors.New("boom")
	ways := []func() error{
		func() error { return gone.Do(ctx, version) },
		func() error { return rude.Do(ctx, version) },
		func() error { return good.Do(ctx, func(*libvirt.Libvirt) error { return boom }) },
		func() error {
			return good.Do(ctx, func(l *libvirt.Libvirt) error { p.cut(); return untilError(make(chan struct{}))(l) })
		},
		func() error {
			cctx, cancel := context.WithCancel(ctx)
			defer cancel()
			return good.Do(cctx, func(l *libvirt.Libvirt) error { cancel(); return untilError(make(chan struct{}))(l) })
		},
		func() error { // dialed, and cut in the middle of the handshake
			cctx, cancel := context.WithTimeout(ctx, time.Millisecond)
			defer cancel()
			return good.Stream(cctx, untilError(make(chan struct{})))
		},
		func() error { return good.Stream(ctx, func(*libvirt.Libvirt) error { return boom }) },
		func() (err error) {
			defer func() { err = fmt.Errorf("panic: %v", recover()) }()
			return good.Do(ctx, func(*libvirt.Libvirt) error { panic(boom) })
		},
	}
	check := leaks(t)
	for i := range 1000 {
		if err := ways[i%len(ways)](); err == nil {
			t.Fatalf("failure %d did not fail", i)
		}
	}
	if s := good.Stats(); s.Open > 2 {
		t.Errorf("Stats() = %+v after the failures, want at most 2 open", s)
	}
	good.Close()
	p.cut()
	check()
}

func TestWaitingForAConnectionEndsWithTheContext(t *testing.T) {
	h := lab.ForTest(t)
	c := newClient(t, Options{URI: "qemu:///system?socket=" + h.Socket(), MaxConns: 1})
	ctx, cancel := context.WithCancel(t.Context())
	err := c.Do(t.Context(), func(*libvirt.Libvirt) error {
		time.AfterFunc(20*time.Millisecond, cancel)
		return c.Do(ctx, version)
	})
	wantKind(t, "Do while the only connection is in use", err, fault.Canceled, "waiting for one of 1 connections")
}
