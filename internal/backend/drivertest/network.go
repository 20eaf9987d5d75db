package drivertest

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/novacron/terraform-provider-novacron/internal/fault"
	"github.com/novacron/terraform-provider-novacron/internal/spec"
)

func networkTests() []test {
	return []test{
		{"a network of each mode reads back as it was asked for", (*suite).networkReadsBack},
		{"a mode that is not declared is not supported", (*suite).networkMode},
		{"a network that does not exist is not found", (*suite).absentNetwork},
		{"creating a network again returns the one there is", (*suite).networkAgain},
		{"a name that another identity has is a conflict, and its network is not touched", (*suite).networkTaken},
		{"a range that is in use is refused and leaves nothing", (*suite).networkRange},
		{"a network is deleted once and for all", (*suite).networkDeletes},
	}
}

// noNetworks proves that a target without networks refuses them, and returns
// whether it is one.
func (s *suite) noNetworks(t *testing.T) bool {
	t.Helper()
	n := s.netSpec("none")
	n.Mode = spec.ModeNAT
	return s.without(t, len(s.caps.NetworkModes) > 0, "mode", func() error { _, err := s.drv.CreateNetwork(t.Context(), n); return err })
}

func (s *suite) readsNetwork(t *testing.T, call string, got spec.NetworkInfo, want spec.Network) {
	t.Helper()
	if diff := cmp.Diff(want, got.Network, cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); diff != "" {
		t.Errorf("%s reads back (-asked for +read):\n%s", call, diff)
	}
	if !got.Active {
		t.Errorf("%s: the network is not active", call)
	}
}

func (s *suite) networkReadsBack(t *testing.T) {
	if s.noNetworks(t) {
		return
	}
	base := s.CIDR.Addr()
	for i, mode := range s.caps.NetworkModes {
		n, got := s.network(t, "reads-"+mode, func(n *spec.Network) {
			n.Mode, n.CIDR = mode, netip.PrefixFrom(base, 29)
			if n.DHCP = i%2 == 0; n.DHCP {
				n.Domain = "lab.example"
			}
		})
		s.readsNetwork(t, "CreateNetwork", got, n)
		read, err := s.drv.Network(t.Context(), n.UUID)
		if err != nil {
			t.Errorf("Network = %v", err)
		}
		s.readsNetwork(t, "Network", read, n)
		found, err := s.drv.FindNetwork(t.Context(), n.Name)
		if err != nil {
			t.Errorf("FindNetwork = %v", err)
		}
		s.readsNetwork(t, "FindNetwork", found, n)
		if err := s.drv.DeleteNetwork(t.Context(), n.UUID); err != nil {
			t.Errorf("DeleteNetwork = %v", err)
		}
	}
}

func (s *suite) networkMode(t *testing.T) {
	n := s.netSpec("mode")
	n.Mode = "wormhole"
	s.without(t, false, "mode", func() error { _, err := s.drv.CreateNetwork(t.Context(), n); return err })
}

func (s *suite) absentNetwork(t *testing.T) {
	if s.noNetworks(t) {
		return
	}
	n := s.netSpec("absent")
	_, err := s.drv.Network(t.Context(), n.UUID)
	fails(t, "Network that does not exist", err, fault.NotFound, "")
	_, err = s.drv.FindNetwork(t.Context(), n.Name)
	fails(t, "FindNetwork that does not exist", err, fault.NotFound, "")
	if err := s.drv.DeleteNetwork(t.Context(), n.UUID); err != nil {
		t.Errorf("DeleteNetwork that does not exist = %v, want nil", err)
	}
}

func (s *suite) networkAgain(t *testing.T) {
	if s.noNetworks(t) {
		return
	}
	n, first := s.network(t, "again", func(*spec.Network) {})
	second, err := s.drv.CreateNetwork(t.Context(), n)
	if err != nil {
		t.Fatalf("CreateNetwork again = %v", err)
	}
	if first != second {
		t.Errorf("CreateNetwork again = %+v, want %+v", second, first)
	}
	if got := s.Leftovers(t); len(got) != 1 {
		t.Errorf("Leftovers() = %q, want one network", got)
	}
}

func (s *suite) networkTaken(t *testing.T) {
	if s.noNetworks(t) {
		return
	}
	theirs, before := s.network(t, "taken", func(*spec.Network) {})
	mine := theirs
	mine.UUID = spec.Identity(s.Prefix, "network", theirs.Name, "another")
	_, err := s.drv.CreateNetwork(t.Context(), mine)
	fails(t, "CreateNetwork with a name that is taken", err, fault.Conflict, "name")
	if after, err := s.drv.Network(t.Context(), theirs.UUID); err != nil || after != before {
		t.Errorf("Network that has the name = %+v, %v; want %+v", after, err, before)
	}
}

func (s *suite) networkRange(t *testing.T) {
	if s.noNetworks(t) || s.Mock {
		return
	}
	first, _ := s.network(t, "range", func(*spec.Network) {})
	second := s.netSpec("overlap")
	second.CIDR = first.CIDR
	if _, err := s.drv.CreateNetwork(t.Context(), second); err == nil {
		t.Errorf("CreateNetwork in the range of another = nil, want an error")
		_ = s.drv.DeleteNetwork(t.Context(), second.UUID)
	} else if k := fault.KindOf(err); k == fault.NotFound || k == fault.Unavailable || k == fault.Busy {
		t.Errorf("CreateNetwork in the range of another = %v (%s): that is not what is wrong", err, k)
	}
	if got := s.Leftovers(t); len(got) != 1 {
		t.Errorf("Leftovers() = %q, want the first network only", got)
	}
}

func (s *suite) networkDeletes(t *testing.T) {
	if s.noNetworks(t) {
		return
	}
	n, _ := s.network(t, "gone", func(*spec.Network) {})
	for range 2 {
		if err := s.drv.DeleteNetwork(t.Context(), n.UUID); err != nil {
			t.Errorf("DeleteNetwork = %v", err)
		}
	}
	_, err := s.drv.Network(t.Context(), n.UUID)
	fails(t, "Network after its delete", err, fault.NotFound, "")
}
