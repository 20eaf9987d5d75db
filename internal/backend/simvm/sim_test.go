package simvm

import (
	"net/netip"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/novacron/terraform-provider-novacron/internal/change"
	"github.com/novacron/terraform-provider-novacron/internal/fault"
	"github.com/novacron/terraform-provider-novacron/internal/spec"
)

func TestGuestLivesFromCreateToDelete(t *testing.T) {
	for _, path := range []string{"", filepath.Join(t.TempDir(), "sim.json")} {
		synctest.Test(t, func(t *testing.T) {
			ctx, d := t.Context(), New(Options{Path: path})
			lan := spec.Network{UUID: spec.Identity("o", "network", "lan"), Name: "lan", Mode: spec.ModeNAT, CIDR: netip.MustParsePrefix("10.20.0.0/24"), DHCP: true}
			if _, err := d.CreateNetwork(ctx, lan); err != nil {
				t.Fatal(err)
			}
			vm := spec.VM{UUID: spec.Identity("o", "vm", "web"), Owner: "o", Name: "web", CPUs: 1, Memory: 128 * spec.MiB, Power: spec.Running,
				Boot:    &spec.DirectBoot{Kernel: "/boot/vmlinuz"},
				Disks:   map[string]spec.Disk{"root": {Size: spec.GiB}},
				NICs:    map[string]spec.NIC{"lan": {Network: "lan"}},
				SSHKeys: []string{"ssh-ed25519 A"}}
			info, err := d.CreateVM(ctx, vm)
			if err != nil {
				t.Fatal(err)
			}
			if p := change.VM(info.VM, vm); !p.Empty() || len(info.Addresses) != 0 {
				t.Errorf("CreateVM = %+v: differs by %v; want no difference and no address yet", info, p)
			}
			time.Sleep(standardBoot)
			if info, err = d.VM(ctx, vm.UUID); err != nil || len(info.Addresses) != 1 || !lan.CIDR.Contains(info.Addresses[0].IP) {
				t.Errorf("VM after boot = %v, %v; want one address in %s", info.Addresses, err, lan.CIDR)
			}
			if err := d.DeleteVM(ctx, vm.UUID); fault.KindOf(err) != fault.Busy {
				t.Errorf("DeleteVM of a running VM = %v, want Busy", err)
			}
			if err := d.StopVM(ctx, vm.UUID, spec.Shutdown{Timeout: time.Second}); err != nil {
				t.Errorf("StopVM = %v", err)
			}
			if err := d.DeleteVM(ctx, vm.UUID); err != nil {
				t.Errorf("DeleteVM = %v", err)
			}
			if err := d.DeleteNetwork(ctx, lan.UUID); err != nil {
				t.Errorf("DeleteNetwork = %v", err)
			}
			if vms, volumes, networks, err := d.Hand().Inventory(); len(vms)+len(volumes)+len(networks) != 0 || err != nil {
				t.Errorf("Inventory = %v %v %v, %v; want nothing left", vms, volumes, networks, err)
			}
		})
	}
}
