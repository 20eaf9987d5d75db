package simvm

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/novacron/terraform-provider-novacron/internal/change"
	"github.com/novacron/terraform-provider-novacron/internal/fault"
	"github.com/novacron/terraform-provider-novacron/internal/spec"
)

// errBroken is what the platform says when it does not do what it was asked.
var errBroken = errors.New("broken")

// failing returns a connection whose nth call the platform refuses, and whether
// it came to that.
func failing(d *Driver, n int) (conn *Driver, hit func() (step string)) {
	var at string
	return d.Again(func(step string, i int) error {
		if i != n {
			return nil
		}
		at = step
		return fault.As(fault.Exhausted, errBroken)
	}), func() string { return at }
}

// full is a VM with one of everything.
func full() spec.VM {
	return spec.VM{UUID: spec.Identity("o", "vm", "web"), Owner: "o", Name: "web", CPUs: 1, Memory: 128 * spec.MiB, Power: spec.Running,
		Boot:    &spec.DirectBoot{Kernel: "/boot/vmlinuz"},
		Disks:   map[string]spec.Disk{"root": {Size: spec.GiB}, "data": {Size: spec.GiB, Pool: "fast"}},
		NICs:    map[string]spec.NIC{"lan": {Forward: map[uint16]uint16{2222: 22}}},
		SSHKeys: []string{"ssh-ed25519 A"}}
}

func inventory(t *testing.T, d *Driver) string {
	t.Helper()
	vms, volumes, networks, err := d.Hand().Inventory()
	if err != nil {
		t.Fatalf("Inventory() = %v", err)
	}
	return strings.Join(append(append(vms, volumes...), networks...), " ")
}

func TestCreateThatThePlatformRefusesAnywhereLeavesNothing(t *testing.T) {
	d, refused := New(Options{}), 0
	for n := 1; ; n++ {
		conn, hit := failing(d, n)
		_, err := conn.CreateVM(t.Context(), full())
		if hit() == "" {
			break // it was done before the nth call
		}
		if hit() == "VM: read" {
			continue // the guest runs by then
		}
		refused++
		if !errors.Is(err, errBroken) || !errors.Is(err, fault.Exhausted) {
			t.Errorf("refused at %q: CreateVM = %v, want the platform's word", hit(), err)
		}
		if left := inventory(t, d); left != "" {
			t.Errorf("refused at %q: left behind %s", hit(), left)
		}
	}
	if refused < 6 {
		t.Errorf("CreateVM was refused at %d steps; want a look, two disks, a seed, a definition and a start", refused)
	}
}

func TestUpdateThatThePlatformRefusesAnywhereGoesBack(t *testing.T) {
	d := New(Options{})
	old, want := full(), full()
	if _, err := d.CreateVM(t.Context(), old); err != nil {
		t.Fatal(err)
	}
	want.Memory = 256 * spec.MiB
	want.Disks = map[string]spec.Disk{"root": {Size: spec.GiB}, "data": {Size: spec.GiB, Pool: "fast"}, "more": {Size: spec.GiB}}
	before, refused := inventory(t, d), 0
	for n := 1; ; n++ {
		conn, hit := failing(d, n)
		have, err := d.VM(t.Context(), old.UUID)
		if err != nil {
			t.Fatal(err)
		}
		_, err = conn.UpdateVM(t.Context(), want, change.VM(have.VM, want), spec.Shutdown{Force: true})
		if hit() == "" || hit() == "VM: read" {
			break
		}
		refused++
		if !errors.Is(err, errBroken) {
			t.Errorf("refused at %q: UpdateVM = %v, want the platform's word", hit(), err)
		}
		now, err := d.VM(t.Context(), old.UUID)
		if p := change.VM(now.VM, old); err != nil || !p.Empty() {
			t.Errorf("refused at %q: the VM differs from the last good definition by %+v (%v)", hit(), p.Ops, err)
		}
		if _, memory, _ := d.Hand().Guest("web"); memory != old.Memory {
			t.Errorf("refused at %q: the guest runs with %s, want %s", hit(), memory, old.Memory)
		}
		if left := inventory(t, d); len(left) != len(before) {
			t.Errorf("refused at %q: there is %s, want %s", hit(), left, before)
		}
	}
	if refused < 5 {
		t.Errorf("UpdateVM was refused at %d steps; want a look, a stop, a disk, a definition and a start", refused)
	}
}

func TestNetworkThatThePlatformRefusesLeavesNothing(t *testing.T) {
	d := New(Options{})
	n := spec.Network{UUID: spec.Identity("o", "network", "lan"), Name: "lan", Mode: spec.ModeNAT, CIDR: netip.MustParsePrefix("10.1.0.0/24")}
	for i := 1; i <= 3; i++ {
		conn, hit := failing(d, i)
		if _, err := conn.CreateNetwork(t.Context(), n); !errors.Is(err, errBroken) {
			t.Errorf("refused at %q: CreateNetwork = %v", hit(), err)
		}
		if left := inventory(t, d); left != "" {
			t.Errorf("refused at %q: left behind %s", hit(), left)
		}
	}
}

func TestCrashCleansNothingUp(t *testing.T) { // the control of all tests that clean up
	d := New(Options{})
	conn := d.Again(func(step string, _ int) error {
		if step == "CreateVM: start" {
			return ErrCrash
		}
		return nil
	})
	if _, err := conn.CreateVM(t.Context(), full()); fault.KindOf(err) != fault.Unavailable {
		t.Errorf("CreateVM = %v, want Unavailable", err)
	}
	if left := inventory(t, d); !strings.Contains(left, "web") || len(strings.Fields(left)) != 4 {
		t.Errorf("left behind %q; want the VM, two disks and the seed", left)
	}
	if _, err := conn.ListVMs(t.Context()); fault.KindOf(err) != fault.Unavailable {
		t.Errorf("ListVMs on a dead connection = %v, want Unavailable", err)
	}
}
