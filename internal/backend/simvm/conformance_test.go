package simvm_test

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/novacron/terraform-provider-novacron/internal/backend/driver"
	"github.com/novacron/terraform-provider-novacron/internal/backend/drivertest"
	"github.com/novacron/terraform-provider-novacron/internal/backend/simvm"
	"github.com/novacron/terraform-provider-novacron/internal/spec"
)

func TestConformance(t *testing.T) {
	nothing := spec.Capabilities{Platform: "sim", DefaultPool: "default", VolumeFormats: []string{spec.FormatRaw, spec.FormatQCOW2}}
	for _, c := range []struct {
		name string
		opt  simvm.Options
	}{
		{"in memory", simvm.Options{}},
		{"in a file", simvm.Options{Path: filepath.Join(t.TempDir(), "sim.json")}},
		{"with no power at all", simvm.Options{Capabilities: &nothing}},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.opt.BootTime, c.opt.ShutdownTime = 20*time.Millisecond, 10*time.Millisecond
			h := harness(simvm.New(c.opt))
			if c.opt.Capabilities == nil {
				h.Boot = &spec.DirectBoot{Kernel: "/boot/vmlinuz"}
			}
			drivertest.Run(t, h)
		})
	}
}

// harness is the platform of d as the suite sees it.
func harness(d *simvm.Driver) drivertest.Harness {
	const prefix = "conf-"
	return drivertest.Harness{
		Prefix:   prefix,
		CIDR:     netip.MustParsePrefix("10.99.0.0/24"),
		BootTime: 5 * time.Second,
		Open:     func(testing.TB) driver.Driver { return d.Again(nil) },
		CrashAfter: func(_ testing.TB, n int) driver.Driver {
			return d.Again(func(_ string, i int) error {
				if i > n {
					return simvm.ErrCrash
				}
				return nil
			})
		},
		Leftovers: func(t testing.TB) []string {
			vms, volumes, networks, err := d.Hand().Inventory()
			if err != nil {
				t.Fatalf("Inventory() = %v", err)
			}
			all := slices.Concat(vms, volumes, networks)
			return slices.DeleteFunc(all, func(name string) bool { return !strings.Contains(name, prefix) })
		},
		Seed: func(t testing.TB, uuid string) string {
			digest, err := d.Hand().Seed(name(t, d, uuid))
			if err != nil {
				t.Fatalf("Seed = %v", err)
			}
			return digest
		},
		Forwards: func(t testing.TB, uuid string) []uint16 {
			ports, err := d.Hand().Forwards(name(t, d, uuid))
			if err != nil {
				t.Fatalf("Forwards = %v", err)
			}
			return ports
		},
		Guest: func(t testing.TB, uuid string) drivertest.Guest {
			boots, memory, err := d.Hand().Guest(name(t, d, uuid))
			if err != nil {
				t.Fatalf("Guest = %v", err)
			}
			g := drivertest.Guest{Memory: memory}
			if memory > 0 {
				g.Start = fmt.Sprint(boots)
			}
			return g
		},
	}
}

// name returns the name of the VM with the UUID.
func name(t testing.TB, d *simvm.Driver, uuid string) string {
	t.Helper()
	info, err := d.Again(nil).VM(t.Context(), uuid)
	if err != nil {
		t.Fatalf("VM(%s) = %v", uuid, err)
	}
	return info.Name
}
