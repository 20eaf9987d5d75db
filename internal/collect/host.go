package collect

import (
	"fmt"

	libvirt "github.com/digitalocean/go-libvirt"

	"github.com/novacron/terraform-provider-novacron/internal/fault"
	"github.com/novacron/terraform-provider-novacron/internal/sample"
)

var hostTable = table{
	{param: "user", field: "cpu_user_ns", counter: true},
	{param: "kernel", field: "cpu_system_ns", counter: true},
	{param: "iowait", field: "cpu_iowait_ns", counter: true},
	{param: "idle", field: "cpu_idle_ns", counter: true},
}

const (
	hostUser = iota
	hostKernel
	hostIOWait
	hostIdle
)

func (g *gather) hostTags() []sample.Tag {
	return sample.SortTags([]sample.Tag{{Key: "host", Value: g.host}, {Key: "uri", Value: g.c.uri}})
}

// emitDown reports a host that could not be asked.
func (g *gather) emitDown(err error) {
	g.emit(sample.Sample{Name: "novacron_host", Time: g.now, Tags: g.hostTags(), Fields: []sample.Field{
		{Key: "up", Value: int64(0)},
		{Key: "reason", Value: string(fault.KindOf(err))},
	}})
}

// emitHost reports a host that answered.
func (g *gather) emitHost() {
	gauges := []sample.Field{{Key: "up", Value: int64(1)}}
	var counters []sample.Field
	if g.wants(Host) {
		gauges = appendFloat(gauges, "latency_ms", float64(g.latency.Microseconds())/1e3)
		gauges = append(gauges,
			sample.Field{Key: "libvirt_version", Value: version(g.c.id.LibvirtVersion)},
			sample.Field{Key: "hypervisor_version", Value: version(g.c.id.HypervisorVersion)},
			sample.Field{Key: "cpus", Value: g.c.id.CPUs})
		if g.node != nil {
			var load []sample.Field
			counters, load = g.hostCPU()
			gauges = append(gauges, load...)
			gauges = append(gauges, g.hostMemory()...)
		}
		gauges = append(gauges, g.commitment()...)
		gauges = append(gauges, g.census()...)
	}
	g.emitBoth("novacron_host", g.hostTags(), counters, gauges)
}

// hostCPU returns the CPU time of the host and how it was spent since the last
// gather.
func (g *gather) hostCPU() (counters, gauges []sample.Field) {
	var r row
	for name, v := range g.node.CPU {
		hostTable.put(&r, name, v)
	}
	s := g.c.cpu.next(g.reached, hostTable, &r)
	counters, _ = hostTable.fields(&r, &s)
	busy := s[hostUser] + s[hostKernel]
	all := busy + finite(s[hostIOWait]) + s[hostIdle]
	gauges = appendFloat(gauges, "cpu_usage_percent", percent(busy, all))
	gauges = appendFloat(gauges, "cpu_user_percent", percent(s[hostUser], all))
	gauges = appendFloat(gauges, "cpu_system_percent", percent(s[hostKernel], all))
	gauges = appendFloat(gauges, "cpu_iowait_percent", percent(s[hostIOWait], all))
	return counters, gauges
}

// hostMemory returns the memory of the host.
func (g *gather) hostMemory() (out []sample.Field) {
	get := func(name string) uint64 { return g.node.Memory[name] * kib }
	total, free := get("total"), get("free")+get("buffers")+get("cached")
	for _, name := range [...]string{"total", "free", "buffers", "cached"} {
		if _, ok := g.node.Memory[name]; ok {
			out = append(out, sample.Field{Key: "memory_" + name + "_bytes", Value: get(name)})
		}
	}
	if total == 0 || free > total {
		return out
	}
	out = append(out, sample.Field{Key: "memory_used_bytes", Value: total - free})
	return appendFloat(out, "memory_used_percent", percent(float64(total-free), float64(total)))
}

// commitment returns what the active domains were promised, and how often the
// host was promised with it.
func (g *gather) commitment() []sample.Field {
	var vcpus, memory uint64
	for _, r := range g.readings {
		if r.active() {
			vcpus += r.size.vcpus
			memory += r.size.memory
		}
	}
	out := []sample.Field{{Key: "vcpus_committed", Value: vcpus}, {Key: "memory_committed_bytes", Value: memory}}
	out = appendFloat(out, "vcpu_overcommit_ratio", percent(float64(vcpus), float64(g.c.id.CPUs))/100)
	if g.node != nil {
		out = appendFloat(out, "memory_overcommit_ratio", percent(float64(memory), float64(g.node.Memory["total"]*kib))/100)
	}
	return out
}

// census counts the domains by state.
func (g *gather) census() []sample.Field {
	var running, paused, shutoff, crashed, other uint64
	for _, r := range g.readings {
		switch libvirt.DomainState(r.state) {
		case libvirt.DomainRunning, libvirt.DomainBlocked:
			running++
		case libvirt.DomainPaused:
			paused++
		case libvirt.DomainShutoff:
			shutoff++
		case libvirt.DomainCrashed:
			crashed++
		default:
			other++
		}
	}
	return []sample.Field{
		{Key: "domains", Value: uint64(len(g.readings))},
		{Key: "domains_running", Value: running}, {Key: "domains_paused", Value: paused},
		{Key: "domains_shutoff", Value: shutoff}, {Key: "domains_crashed", Value: crashed},
		{Key: "domains_other", Value: other},
	}
}

// version writes libvirt's version number as people do.
func version(n uint64) string { return fmt.Sprintf("%d.%d.%d", n/1e6, n/1e3%1e3, n%1e3) }
