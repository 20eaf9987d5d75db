package collect

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	libvirt "github.com/digitalocean/go-libvirt"

	"github.com/novacron/terraform-provider-novacron/internal/fault"
	"github.com/novacron/terraform-provider-novacron/internal/sample"
)

func TestRatesAndUtilisation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1, Options{})
		first := r.mustGather()
		for _, f := range [][2]string{{"novacron_cpu", "usage_percent"}, {"novacron_block", "rd_reqs_per_sec"}, {"novacron_net", "rx_bytes_per_sec"}, {"novacron_host", "cpu_usage_percent"}} {
			if got := first.value(f[0], f[1]); got != nil {
				t.Errorf("first gather: %s %s = %v, want no rate yet", f[0], f[1], got)
			}
		}
		r.h.set(0, map[string]any{
			"cpu.time": uint64(11e9), "cpu.user": uint64(66e8), "cpu.system": uint64(44e8), // +10 s on 2 vCPUs in 10 s
			"vcpu.0.delay": uint64(1e9), "vcpu.1.delay": uint64(3e9), "vcpu.1.time": uint64(105e8), "vcpu.0.halted": "yes",
			"block.0.rd.reqs": uint64(100), "block.0.rd.bytes": uint64(4096000), "block.0.rd.times": uint64(2e9),
			"block.0.wr.reqs": uint64(50), "block.0.wr.times": uint64(3e9),
			"net.0.rx.bytes":    uint64(1000),
			"balloon.available": uint64(1000), "balloon.usable": uint64(250), "balloon.swap_in": uint64(10),
		})
		r.h.node.CPU = map[string]uint64{"user": 2e9, "kernel": 3e9, "idle": 14e9, "iowait": 1e9}
		b := r.mustGather()
		host, d0 := []string{"host=hv1"}, []string{"host=hv1", "domain=d0"}
		b.check(t, "novacron_cpu", d0, map[string]any{"time_ns": uint64(11e9), "vcpus": uint64(2), "usage_percent": 50.0,
			"user_percent": 30.0, "system_percent": 20.0, "steal_percent": 20.0, "wait_percent": 0.0})
		b.check(t, "novacron_vcpu", append(d0, "vcpu=1"), map[string]any{"usage_percent": 100.0, "steal_percent": 30.0, "state": "running", "halted": nil})
		b.check(t, "novacron_vcpu", append(d0, "vcpu=0"), map[string]any{"halted": int64(1)})
		b.check(t, "novacron_block", append(d0, "device=vda"), map[string]any{"rd_reqs_per_sec": 10.0, "rd_bytes_per_sec": 409600.0,
			"rd_latency_ms": 20.0, "wr_latency_ms": 60.0, "fl_latency_ms": nil, "queue_depth": .5, "busy_percent": 50.0,
			"capacity_bytes": uint64(1000), "used_percent": 25.0, "path": "/i/d0", "rd_reqs": uint64(100)})
		b.check(t, "novacron_net", append(d0, "device=net7", "mac=52:54:00:00:00:01"), map[string]any{"rx_bytes": uint64(1000), "rx_bytes_per_sec": 100.0, "interface": "vnet-d0"})
		b.check(t, "novacron_memory", d0, map[string]any{"max_bytes": uint64(2048 * 1024), "used_bytes": uint64(750 * 1024), "used_percent": 75.0, "swap_in_bytes": uint64(10240), "last_update": nil})
		b.check(t, "novacron_host", host, map[string]any{"up": int64(1), "cpu_usage_percent": 30.0, "cpu_iowait_percent": 10.0, "cpus": uint64(4),
			"vcpus_committed": uint64(2), "vcpu_overcommit_ratio": .5, "memory_used_percent": 25.0, "libvirt_version": "9.0.0", "hypervisor_version": "7.2.22", "domains_running": uint64(1)})
		b.check(t, "novacron_domain", d0, map[string]any{"state": "running", "reason": "booted", "active": int64(1), "hung": int64(0), "occupied_ms": nil})
		b.check(t, "novacron_collector", host, map[string]any{"gathers": uint64(2), "errors": uint64(0), "domains": uint64(1), "calls": uint64(3)})
	})
}

func TestACounterThatBeginsAgainHasNoRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 2, Options{})
		r.mustGather()
		r.h.set(0, map[string]any{"cpu.time": uint64(1)})
		// d1 was stopped and started between the gathers: more CPU time than
		// before, and none of it since then.
		r.h.domains[1].dom.ID = 99
		r.h.set(1, map[string]any{"cpu.time": uint64(9e9), "block.0.rd.reqs": uint64(50), "net.0.rx.bytes": uint64(50)})
		b := r.mustGather()
		b.check(t, "novacron_cpu", []string{"domain=d0"}, map[string]any{"usage_percent": nil, "time_ns": uint64(1)})
		b.check(t, "novacron_cpu", []string{"domain=d1"}, map[string]any{"usage_percent": nil, "time_ns": uint64(9e9)})
		b.check(t, "novacron_block", []string{"domain=d1"}, map[string]any{"rd_reqs_per_sec": nil})
		b.check(t, "novacron_net", []string{"domain=d1"}, map[string]any{"rx_bytes_per_sec": nil})
		r.h.set(0, map[string]any{"cpu.time": uint64(10e9 + 1)})
		r.mustGather().check(t, "novacron_cpu", []string{"domain=d0"}, map[string]any{"usage_percent": 50.0})
	})
}

func TestAHungDomainCostsOnlyItsOwnMetrics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 40, Options{})
		r.mustGather()
		r.h.hang(5, true)
		for i := range 3 {
			start := time.Now().Add(10 * time.Second)
			b := r.mustGather()
			took := time.Since(start)
			if limit := []time.Duration{time.Second, 0, 0}[i]; took > limit {
				t.Errorf("gather %d took %v, want at most %v: only the first one waits", i, took, limit)
			}
			for d := range 40 {
				tags := []string{fmt.Sprintf("domain=d%d", d)}
				if d == 5 {
					b.check(t, "novacron_domain", tags, map[string]any{"hung": int64(1), "state": "running"})
					b.check(t, "novacron_block", tags, map[string]any{"rd_reqs": nil})
					b.check(t, "novacron_cpu", tags, map[string]any{"time_ns": uint64(1e9)}) // needs no QEMU
					b.check(t, "novacron_net", tags, map[string]any{"rx_bytes": uint64(0)})
					continue
				}
				b.check(t, "novacron_domain", tags, map[string]any{"hung": int64(0)})
				b.check(t, "novacron_block", tags, map[string]any{"rd_reqs": uint64(0), "rd_reqs_per_sec": 0.0})
			}
			b.check(t, "novacron_collector", nil, map[string]any{"domains_hung": uint64(1), "stalls": uint64([]int{1, 0, 0}[i]), "errors": uint64(0)})
		}
		r.h.hang(5, false)
		b := r.mustGather()
		b.check(t, "novacron_domain", []string{"domain=d5"}, map[string]any{"hung": int64(0), "occupied_ms": nil})
		b.check(t, "novacron_block", []string{"domain=d5"}, map[string]any{"rd_reqs": uint64(0), "rd_reqs_per_sec": 0.0})
	})
}

func TestManyHungDomainsDoNotEatLibvirtdsWorkers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 60, Options{})
		for i := range 40 {
			r.h.hang(i, true)
		}
		var err error
		for range 5 {
			if _, err = r.gather(); r.h.left > maxStuck {
				t.Fatalf("%d requests are left behind in libvirtd, want at most %d", r.h.left, maxStuck)
			}
		}
		if !errors.Is(err, fault.Busy) {
			t.Errorf("Gather = %v, want fault.Busy", err)
		}
		for i := range 40 {
			r.h.hang(i, false)
		}
		r.mustGather().check(t, "novacron_collector", nil, map[string]any{"domains_hung": uint64(0), "domains": uint64(60)})
	})
}

func TestADomainWhoseMonitorIsBusyForAMomentIsNotHung(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1, Options{})
		r.mustGather()
		r.h.domains[0].hung, r.h.domains[0].held = true, time.Now().Add(10*time.Second-20*time.Millisecond)
		b := r.mustGather()
		b.check(t, "novacron_domain", nil, map[string]any{"hung": int64(0)})
		b.check(t, "novacron_collector", nil, map[string]any{"domains_hung": uint64(0), "domains_busy": uint64(1)})
	})
}

func TestADomainWithoutDisksIsNotBusyWhenOnlyDisksAreAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1, Options{Groups: []Group{Block}})
		for k := range r.h.domains[0].params {
			if strings.HasPrefix(k, "block.") {
				delete(r.h.domains[0].params, k)
			}
		}
		r.mustGather().check(t, "novacron_collector", nil, map[string]any{"domains_busy": uint64(0), "domains": uint64(1)})
	})
}

func TestAHostThatIsDownIsReportedAndComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1, Options{})
		r.h.setDown(fault.Errorf(fault.Unavailable, "connection refused"))
		b, err := r.gather()
		if !errors.Is(err, fault.Unavailable) || !strings.Contains(err.Error(), "qemu+tcp://hv1/system") {
			t.Errorf("Gather = %v, want fault.Unavailable with the URI", err)
		}
		b.check(t, "novacron_host", []string{"uri=qemu+tcp://hv1/system"}, map[string]any{"up": int64(0), "reason": "unavailable", "domains": nil})
		b.check(t, "novacron_collector", nil, map[string]any{"failures": uint64(1), "errors": uint64(1)})
		r.h.setDown(nil)
		r.mustGather().check(t, "novacron_host", []string{"host=hv1"}, map[string]any{"up": int64(1), "reason": nil, "domains": uint64(1)})
		r.h.setDown(fault.Denied)
		b, _ = r.gather()
		b.check(t, "novacron_host", []string{"host=hv1"}, map[string]any{"up": int64(0), "reason": "permission denied"})
		r.h.setDown(nil)
		r.mustGather()
		if r.h.ids != 3 {
			t.Errorf("the identity was read %d times, want again after each failure: 3", r.h.ids)
		}
	})
}

func TestVanishedDomainsAndDevicesAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1, Options{Keep: time.Minute})
		for i := range 500 {
			r.h.domains[0].dom.UUID[0] = byte(i)
			r.h.domains[0].dom.UUID[1] = byte(i >> 8)
			r.mustGather()
			if n := len(r.c.domains); n > 8 {
				t.Fatalf("after %d domains came and went, %d are remembered, want at most 8", i, n)
			}
		}
		for i := range 500 {
			r.h.set(0, map[string]any{"block.0.name": fmt.Sprint("vd", i)})
			r.mustGather()
		}
		for _, d := range r.c.domains {
			if n := len(d.meters.disks); n > 8 {
				t.Errorf("after 500 disks came and went, %d are remembered, want at most 8", n)
			}
		}
	})
}

func TestADomainThatStopsHasOnlyAState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 2, Options{})
		r.mustGather()
		r.h.domains[1].state, r.h.domains[1].dom.ID = libvirt.DomainShutoff, -1
		b := r.mustGather()
		b.check(t, "novacron_domain", []string{"domain=d1"}, map[string]any{"state": "shutoff", "reason": "shutdown", "active": int64(0)})
		b.check(t, "novacron_cpu", []string{"domain=d1"}, map[string]any{"time_ns": nil, "vcpus": nil})
		b.check(t, "novacron_host", nil, map[string]any{"domains": uint64(2), "domains_shutoff": uint64(1), "vcpus_committed": uint64(2)})
	})
}

func TestTheHostCountsEveryDomainWhateverIsSelected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 3, Options{Select: func(name string) bool { return name == "d1" }})
		b := r.mustGather()
		b.check(t, "novacron_host", nil, map[string]any{"domains": uint64(3), "vcpus_committed": uint64(6), "memory_committed_bytes": uint64(3 * 2048 * 1024)})
		b.check(t, "novacron_collector", nil, map[string]any{"domains": uint64(1)})
		for _, s := range b {
			if d := s.Tag("domain"); d != "" && d != "d1" {
				t.Errorf("%s of domain %s was sent, want only d1", s.Name, d)
			}
		}
	})
}

func TestAnInterfaceInUserModeHasNoMetrics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1, Options{})
		for k := range r.h.domains[0].params {
			if strings.HasPrefix(k, "net.0.") {
				delete(r.h.domains[0].params, k)
			}
		}
		for _, s := range r.mustGather() {
			if s.Name == "novacron_net" {
				t.Errorf("sent %+v, want nothing", s)
			}
		}
	})
}

func TestGroupsLimitWhatIsAskedAndSent(t *testing.T) {
	want := map[Group]string{Host: "novacron_host", State: "novacron_domain", CPU: "novacron_cpu", VCPU: "novacron_vcpu",
		Memory: "novacron_memory", Block: "novacron_block", Net: "novacron_net"}
	for _, group := range AllGroups() {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, 1, Options{Groups: []Group{group}})
			got := map[string]bool{}
			for _, s := range r.mustGather() {
				got[s.Name] = true
			}
			if w := (map[string]bool{want[group]: true, "novacron_host": true, "novacron_collector": true}); !reflect.DeepEqual(got, w) {
				t.Errorf("group %s sends %v, want %v", group, got, w)
			}
		})
	}
	if _, err := New(Options{URI: "qemu:///system", Groups: []Group{"disk"}}); !errors.Is(err, fault.Invalid) || fault.FieldOf(err) != "groups" {
		t.Errorf("New with group disk = %v, want fault.Invalid at groups", err)
	}
}

func TestFieldsKeepTheirTypesAndSamplesTheirShape(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 20, Options{})
		types := map[string]reflect.Type{}
		for i := range 6 {
			r.h.hang(3, i == 2)
			r.h.set(0, map[string]any{"cpu.time": uint64(i) * 3e9, "block.0.rd.reqs": uint64(i * i), "block.0.rd.times": uint64(i), "vcpu.0.halted": "no"})
			if i == 4 {
				r.h.setDown(fault.Unavailable)
			} else {
				r.h.setDown(nil)
			}
			b, _ := r.gather()
			for _, s := range b {
				checkShape(t, &s, types)
			}
		}
	})
}

// checkShape holds a sample to the contract of package sample.
func checkShape(t *testing.T, s *sample.Sample, types map[string]reflect.Type) {
	t.Helper()
	for i, tag := range s.Tags {
		if tag.Value == "" || i > 0 && s.Tags[i-1].Key >= tag.Key {
			t.Errorf("%s has tags %v, want them sorted, none empty", s.Name, s.Tags)
		}
	}
	if len(s.Fields) == 0 || s.Time.IsZero() {
		t.Errorf("%s has %d fields and time %v", s.Name, len(s.Fields), s.Time)
	}
	seen := map[string]bool{}
	for _, f := range s.Fields {
		if seen[f.Key] {
			t.Errorf("%s sends %s twice in one sample", s.Name, f.Key)
		}
		seen[f.Key] = true
		key, typ := s.Name+"."+f.Key, reflect.TypeOf(f.Value)
		if had, ok := types[key]; ok && had != typ {
			t.Errorf("%s was a %v and is a %v now", key, had, typ)
		}
		types[key] = typ
		if v, ok := f.Value.(float64); ok && (math.IsNaN(v) || math.IsInf(v, 0)) {
			t.Errorf("%s = %v", key, v)
		}
	}
}

func TestAGatherCostsOneRequestForSixteenDomains(t *testing.T) {
	for domains, want := range map[int]uint64{1: 3, 16: 3, 17: 4, 50: 6} { // state, host, batches
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, domains, Options{})
			r.mustGather()
			r.mustGather().check(t, "novacron_collector", nil, map[string]any{"calls": want})
		})
	}
}

func FuzzParseProfile(f *testing.F) {
	f.Add(`<domain><vcpu current='1'>2</vcpu><memory>5</memory><devices><interface><target dev='a'/></interface></devices></domain>`)
	f.Add(`<domain><vcpu>x</vcpu>`)
	f.Fuzz(func(t *testing.T, definition string) {
		p, err := parseProfile(definition, time.Unix(1, 0))
		if err != nil && (p.vcpus != 0 || p.nics != nil) {
			t.Errorf("parseProfile(%q) = %+v with error %v", definition, p, err)
		}
	})
}

func FuzzReading(f *testing.F) {
	f.Add("block.0.rd.reqs", uint64(5), "")
	f.Add("vcpu.99999999999999999999.time", uint64(5), "")
	f.Add("net.-1.name", uint64(0), "vnet0")
	f.Add("balloon.current", uint64(math.MaxUint64), "")
	f.Fuzz(func(t *testing.T, name string, n uint64, s string) {
		var r reading
		r.parse([]libvirt.TypedParam{
			{Field: name, Value: libvirt.TypedParamValue{I: n}}, {Field: name, Value: libvirt.TypedParamValue{I: s}},
			{Field: name, Value: libvirt.TypedParamValue{I: int32(n)}}, {Field: name, Value: libvirt.TypedParamValue{I: nil}},
		})
		if len(r.disks) > maxIndex || len(r.nics) > maxIndex || len(r.vcpus) > maxIndex {
			t.Errorf("parsing %q made %d disks, %d interfaces, %d vCPUs", name, len(r.disks), len(r.nics), len(r.vcpus))
		}
	})
}
