package collect

import (
	"context"
	"sync/atomic"

	libvirt "github.com/digitalocean/go-libvirt"

	"github.com/novacron/terraform-provider-novacron/internal/libvirtconn"
)

// live is a Source that asks a libvirt daemon.
type live struct {
	conn  *libvirtconn.Client
	calls atomic.Uint64

	// How many values the host has for CPU and memory: libvirt wants the exact
	// number, and tells it when asked with 0. Zero until known.
	cpuParams, memoryParams atomic.Int32
}

// newLive returns the source of a URI. It never dials.
func newLive(uri string, readOnly bool) (*live, error) {
	c, err := libvirtconn.New(libvirtconn.Options{URI: uri, ReadOnly: readOnly, MaxConns: inFlight})
	if err != nil {
		return nil, err
	}
	return &live{conn: c}, nil
}

// do runs f, which makes n calls, with a connection of its own.
func (s *live) do(ctx context.Context, n uint64, f func(l *libvirt.Libvirt) error) error {
	s.calls.Add(n)
	return s.conn.Do(ctx, f)
}

func (s *live) Identity(ctx context.Context) (id Identity, err error) {
	err = s.do(ctx, 4, func(l *libvirt.Libvirt) error {
		if id.Hostname, err = l.ConnectGetHostname(); err != nil {
			return err
		}
		if id.LibvirtVersion, err = l.ConnectGetLibVersion(); err != nil {
			return err
		}
		if id.HypervisorVersion, err = l.ConnectGetVersion(); err != nil {
			return err
		}
		_, _, cpus, _, _, _, _, _, err := l.NodeGetInfo()
		id.CPUs = uint64(max(cpus, 0))
		return err
	})
	return id, err
}

func (s *live) Node(ctx context.Context) (n Node, err error) {
	err = s.do(ctx, 2, func(l *libvirt.Libvirt) error {
		if n.CPU, err = s.nodeCPU(l); err != nil {
			return err
		}
		n.Memory, err = s.nodeMemory(l)
		return err
	})
	if err != nil { // the numbers may have changed with the daemon
		s.cpuParams.Store(0)
		s.memoryParams.Store(0)
	}
	return n, err
}

func (s *live) nodeCPU(l *libvirt.Libvirt) (map[string]uint64, error) {
	const allCPUs = int32(libvirt.NodeCPUStatsAllCpus)
	if s.cpuParams.Load() == 0 {
		s.calls.Add(1)
		_, n, err := l.NodeGetCPUStats(allCPUs, 0, 0)
		if err != nil || n <= 0 {
			return nil, err
		}
		s.cpuParams.Store(n)
	}
	params, _, err := l.NodeGetCPUStats(allCPUs, s.cpuParams.Load(), 0)
	out := make(map[string]uint64, len(params))
	for _, p := range params {
		out[p.Field] = p.Value
	}
	return out, err
}

func (s *live) nodeMemory(l *libvirt.Libvirt) (map[string]uint64, error) {
	const allCells = int32(libvirt.NodeMemoryStatsAllCells)
	if s.memoryParams.Load() == 0 {
		s.calls.Add(1)
		_, n, err := l.NodeGetMemoryStats(0, allCells, 0)
		if err != nil || n <= 0 {
			return nil, err
		}
		s.memoryParams.Store(n)
	}
	params, _, err := l.NodeGetMemoryStats(s.memoryParams.Load(), allCells, 0)
	out := make(map[string]uint64, len(params))
	for _, p := range params {
		out[p.Field] = p.Value
	}
	return out, err
}

func (s *live) Stats(ctx context.Context, doms []libvirt.Domain, groups libvirt.DomainStatsTypes) (recs []libvirt.DomainStatsRecord, err error) {
	err = s.do(ctx, 1, func(l *libvirt.Libvirt) error {
		recs, err = l.ConnectGetAllDomainStats(doms, uint32(groups), uint32(libvirt.ConnectGetAllDomainsStatsNowait))
		return err
	})
	return recs, err
}

func (s *live) Control(ctx context.Context, dom libvirt.Domain) (c Control, err error) {
	err = s.do(ctx, 1, func(l *libvirt.Libvirt) error {
		state, _, ms, err := l.DomainGetControlInfo(dom, 0)
		c = Control{State: libvirt.DomainControlState(state), MS: ms}
		return err
	})
	return c, err
}

func (s *live) XML(ctx context.Context, dom libvirt.Domain) (xml string, err error) {
	err = s.do(ctx, 1, func(l *libvirt.Libvirt) error {
		xml, err = l.DomainGetXMLDesc(dom, 0)
		return err
	})
	return xml, err
}

func (s *live) Usage() Usage {
	st := s.conn.Stats()
	return Usage{Calls: s.calls.Load(), Dials: st.Dials, Open: st.Open}
}

func (s *live) Close() error { return s.conn.Close() }
