package backend

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/novacron/terraform-provider-novacron/internal/backend/driver"
	"github.com/novacron/terraform-provider-novacron/internal/backend/simvm"
	"github.com/novacron/terraform-provider-novacron/internal/change"
	"github.com/novacron/terraform-provider-novacron/internal/fault"
	"github.com/novacron/terraform-provider-novacron/internal/spec"
)

// bootable is a VM that runs a guest on a network and with a forwarded port.
func bootable(t *testing.T, b *Backend) spec.VM {
	t.Helper()
	lan := spec.Network{UUID: spec.Identity("o", "network", "lan"), Name: "lan", Mode: spec.ModeNAT, CIDR: netip.MustParsePrefix("10.20.0.0/24"), DHCP: true}
	if _, err := b.CreateNetwork(t.Context(), lan); err != nil {
		t.Fatal(err)
	}
	vm := vmSpec("web")
	vm.Power, vm.Boot = spec.Running, &spec.DirectBoot{Kernel: "/k"}
	vm.NICs = map[string]spec.NIC{"lan": {Network: "lan"}, "out": {Forward: map[uint16]uint16{2222: 22}}}
	if _, err := b.CreateVM(t.Context(), vm); err != nil {
		t.Fatal(err)
	}
	return vm
}

func TestWaitSaysWhatIsMissing(t *testing.T) {
	const boot = 10 * time.Second
	cases := []struct {
		name  string
		wait  Wait
		hand  func(simvm.Hand) error
		ready bool
		why   string
		kind  fault.Kind
		took  time.Duration
	}{
		{"nothing is asked for", Wait{}, nil, true, "", "", 0},
		{"an address", Wait{IP: "lan", Timeout: time.Minute}, nil, true, "", "", boot},
		{"a port", Wait{TCP: 22, Timeout: time.Minute}, nil, true, "", "", boot},
		{"both", Wait{IP: "lan", TCP: 22, Timeout: time.Minute}, nil, true, "", "", boot},
		{"the time is too short", Wait{IP: "lan", Timeout: 3 * time.Second}, nil, false, "no address on nics.lan yet", "", 3 * time.Second},
		{"the time is too short for a port", Wait{TCP: 22, Timeout: 3 * time.Second}, nil, false, "TCP port 22 does not accept connections yet: the guest is still booting", "", 3 * time.Second},
		{"an interface that never gets an address", Wait{IP: "out", Timeout: time.Minute}, nil, false, "no address on nics.out yet", "", time.Minute},
		{"the guest was powered off", Wait{IP: "lan", Timeout: time.Minute}, func(h simvm.Hand) error { return h.PowerOff("web") }, false, "the VM is stopped", "", time.Minute},
		{"the guest crashed", Wait{TCP: 22, Timeout: time.Minute}, func(h simvm.Hand) error { return h.Crash("web") }, false, "the VM is crashed", "", time.Minute},
		{"the VM was deleted", Wait{IP: "lan", Timeout: time.Minute}, func(h simvm.Hand) error { return h.DeleteVM("web") }, false, "", fault.NotFound, 0},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := simvm.New(simvm.Options{BootTime: boot})
				b := New("kvm1", d)
				vm := bootable(t, b)
				if c.hand != nil {
					if err := c.hand(d.Hand()); err != nil {
						t.Fatal(err)
					}
				}
				start := time.Now()
				info, ready, why, err := b.WaitVM(t.Context(), vm.UUID, c.wait)
				took := time.Since(start)
				if ready != c.ready || !strings.HasPrefix(why, c.why) || (why == "") != (c.why == "") || fault.KindOf(err) != c.kind {
					t.Errorf("WaitVM(%+v) = ready %v, %q, %v; want %v, %q, %q", c.wait, ready, why, err, c.ready, c.why, c.kind)
				}
				if took < c.took || took > c.took+poll {
					t.Errorf("WaitVM(%+v) took %s, want %s", c.wait, took, c.took)
				}
				if err == nil && info.UUID != vm.UUID {
					t.Errorf("WaitVM(%+v) returned the VM %q", c.wait, info.UUID)
				}
			})
		})
	}
}

func TestWaitForAPortThatNothingLeadsTo(t *testing.T) {
	b := New("kvm1", simvm.New(simvm.Options{}))
	vm := vmSpec("web")
	vm.Power, vm.NICs = spec.Running, map[string]spec.NIC{"out": {}}
	if _, err := b.CreateVM(t.Context(), vm); err != nil {
		t.Fatal(err)
	}
	_, ready, _, err := b.WaitVM(t.Context(), vm.UUID, Wait{TCP: 22, Timeout: time.Hour})
	if ready || fault.KindOf(err) != fault.Invalid || !strings.HasPrefix(err.Error(), `wait for VM "web" on target "kvm1": `) || fault.HintOf(err) == "" {
		t.Errorf("WaitVM = %v, %v; want invalid at once, with a hint", ready, err)
	}
}

func TestWaitIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New("kvm1", simvm.New(simvm.Options{BootTime: time.Hour}))
		vm := bootable(t, b)
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(5*time.Second, cancel)
		start := time.Now()
		info, ready, why, err := b.WaitVM(ctx, vm.UUID, Wait{IP: "lan", Timeout: time.Hour})
		if ready || fault.KindOf(err) != fault.Canceled || info.UUID != vm.UUID || why == "" || time.Since(start) > 5*time.Second {
			t.Errorf("WaitVM = %s, %v, %q, %v after %s; want the VM, canceled after 5s", info.UUID, ready, why, err, time.Since(start))
		}
	})
}

func TestWaitOutlivesATargetThatIsSilentForAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := simvm.New(simvm.Options{})
		vm := bootable(t, New("kvm1", d))
		start := time.Now()
		silent := func(_ string, _ int) error {
			if since := time.Since(start); since > time.Second && since < 20*time.Second {
				return fault.Errorf(fault.Unavailable, "connection refused")
			}
			return nil
		}
		b := New("kvm1", d.Again(silent))
		if _, ready, _, err := b.WaitVM(t.Context(), vm.UUID, Wait{IP: "out", Timeout: 10 * time.Second}); ready || err != nil {
			t.Errorf("WaitVM of a target that fell silent = %v, %v; want not ready, as it was seen before", ready, err)
		}
		info, ready, why, err := b.WaitVM(t.Context(), vm.UUID, Wait{IP: "lan", Timeout: time.Second})
		if ready || fault.KindOf(err) != fault.Unavailable || info.UUID != "" {
			t.Errorf("WaitVM of a VM that was never seen = %v, %q, %v; want unavailable", ready, why, err)
		}
		if _, ready, why, err := b.WaitVM(t.Context(), vm.UUID, Wait{IP: "lan", Timeout: time.Minute}); !ready || err != nil {
			t.Errorf("WaitVM of a target that came back = %v, %q, %v; want ready", ready, why, err)
		}
	})
}

// local is a driver whose guests have the address of this machine and no other
// way to them.
type local struct{ driver.Driver }

func (l local) VM(ctx context.Context, id string) (spec.VMInfo, error) {
	info, err := l.Driver.VM(ctx, id)
	info.Addresses = []spec.Address{{NIC: "lan", IP: netip.MustParseAddr("127.0.0.1"), Source: "lease"}}
	return info, err
}

func TestGuestIsReachedAtItsAddress(t *testing.T) {
	b := New("kvm1", local{simvm.New(simvm.Options{})})
	vm := vmSpec("web")
	vm.Power = spec.Running
	if _, err := b.CreateVM(t.Context(), vm); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).AddrPort().Port()
	if _, ready, why, err := b.WaitVM(t.Context(), vm.UUID, Wait{TCP: port, Timeout: time.Minute}); !ready || err != nil {
		t.Errorf("WaitVM with a listener = %v, %q, %v; want ready", ready, why, err)
	}
	l.Close()
	if _, ready, why, err := b.WaitVM(t.Context(), vm.UUID, Wait{TCP: port}); ready || err != nil || !strings.Contains(why, "refused") {
		t.Errorf("WaitVM without a listener = %v, %q, %v; want it refused", ready, why, err)
	}
}

func TestUpdateStaysWithinItsLimit(t *testing.T) {
	ctx, d := t.Context(), simvm.New(simvm.Options{})
	b := New("kvm1", d)
	vm := vmSpec("web")
	vm.Power = spec.Running
	if _, err := b.CreateVM(ctx, vm); err != nil {
		t.Fatal(err)
	}
	want := vm
	want.CPUs = 2
	info, plan, err := b.UpdateVM(ctx, want, change.Live, spec.Shutdown{})
	if fault.KindOf(err) != fault.Denied || plan.Class() != change.Reboot || info.CPUs != 1 {
		t.Errorf("UpdateVM beyond the limit = %d CPUs, %s, %v; want it denied and nothing done", info.CPUs, plan.Class(), err)
	}
	if boots, _, _ := d.Hand().Guest("web"); boots != 1 {
		t.Errorf("the guest was started %d times, want once", boots)
	}
	info, plan, err = b.UpdateVM(ctx, want, change.Reboot, spec.Shutdown{Force: true})
	if err != nil || plan.Class() != change.Reboot || info.CPUs != 2 {
		t.Errorf("UpdateVM = %d CPUs, %s, %v; want 2 after a reboot", info.CPUs, plan.Class(), err)
	}
	if boots, _, _ := d.Hand().Guest("web"); boots != 2 {
		t.Errorf("the guest was started %d times, want twice", boots)
	}
	conn := d.Again(nil)
	if _, plan, err := New("kvm1", conn).UpdateVM(ctx, want, change.None, spec.Shutdown{}); err != nil || !plan.Empty() || conn.Calls() != 1 {
		t.Errorf("UpdateVM to what is = %+v, %v in %d calls; want nothing in one", plan, err, conn.Calls())
	}
	if err := d.Hand().SetMemory("web", spec.GiB); err != nil {
		t.Fatal(err)
	}
	want.Description = "x"
	if _, _, err := b.UpdateVM(ctx, want, change.None, spec.Shutdown{}); fault.KindOf(err) != fault.Denied {
		t.Errorf("UpdateVM with a difference that appeared since the plan = %v, want denied", err)
	}
}

func TestDelete(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, d := t.Context(), simvm.New(simvm.Options{})
		b := New("kvm1", d)
		vm := bootable(t, b)
		if err := d.Hand().Deafen("web"); err != nil {
			t.Fatal(err)
		}
		err := b.DeleteVM(ctx, vm.UUID, spec.Shutdown{Timeout: time.Second})
		if fault.KindOf(err) != fault.Busy || !strings.HasPrefix(err.Error(), "stop VM ") {
			t.Errorf("DeleteVM of a guest that does not obey = %v, want busy", err)
		}
		for range 2 {
			if err := b.DeleteVM(ctx, vm.UUID, spec.Shutdown{Timeout: time.Second, Force: true}); err != nil {
				t.Errorf("DeleteVM = %v", err)
			}
		}
		if _, err := d.VM(ctx, vm.UUID); !errors.Is(err, fault.NotFound) {
			t.Errorf("VM after its delete = %v, want not found", err)
		}
	})
}

func TestVolumeInUseIsRefusedAtOnceAndNamesItsUser(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, b := t.Context(), New("kvm1", simvm.New(simvm.Options{}))
		vol, err := b.CreateVolume(ctx, spec.Volume{UUID: "u-", Name: "data", Size: spec.GiB, Format: spec.FormatRaw})
		if err != nil {
			t.Fatal(err)
		}
		vm := vmSpec("web")
		vm.Disks = map[string]spec.Disk{"data": {Volume: vol.ID}}
		if _, err := b.CreateVM(ctx, vm); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		err = b.DeleteVolume(ctx, vol.ID, vol.UUID)
		if fault.KindOf(err) != fault.Busy || !strings.Contains(err.Error(), "web") || fault.HintOf(err) == "" || time.Since(start) != 0 {
			t.Errorf("DeleteVolume = %v after %s; want busy at once, naming the VM, with a hint", err, time.Since(start))
		}
		if err := b.DeleteVM(ctx, vm.UUID, spec.Shutdown{}); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := b.DeleteVolume(ctx, vol.ID, vol.UUID); err != nil {
				t.Errorf("DeleteVolume = %v", err)
			}
		}
	})
}

func TestStoppedNetworkIsStarted(t *testing.T) {
	ctx, d := t.Context(), simvm.New(simvm.Options{})
	b := New("kvm1", d)
	bootable(t, b)
	n, err := b.FindNetwork(ctx, "lan")
	if err != nil || !n.Active {
		t.Fatalf("FindNetwork = active %v, %v", n.Active, err)
	}
	if err := d.Hand().StopNetwork("lan"); err != nil {
		t.Fatal(err)
	}
	if n, err := b.Network(ctx, n.UUID); err != nil || n.Active {
		t.Errorf("Network that was stopped = active %v, %v", n.Active, err)
	}
	if n, err := b.StartNetwork(ctx, n.Network); err != nil || !n.Active {
		t.Errorf("StartNetwork = active %v, %v", n.Active, err)
	}
}
