package collect

import (
	"strconv"

	"github.com/novacron/terraform-provider-novacron/internal/sample"
)

var cpuTable = table{
	{param: "time", field: "time_ns", counter: true},
	{param: "user", field: "user_ns", counter: true},
	{param: "system", field: "system_ns", counter: true},
	{param: "haltpoll.success.time", field: "haltpoll_success_ns", counter: true},
	{param: "haltpoll.fail.time", field: "haltpoll_fail_ns", counter: true},
}

// Columns of cpuTable that utilisation is made of.
const (
	cpuTime = iota
	cpuUser
	cpuSystem
)

var vcpuTable = table{
	{param: "time", field: "time_ns", counter: true},
	{param: "wait", field: "wait_ns", counter: true},
	{param: "delay", field: "delay_ns", counter: true},
	{param: "halted", field: "halted"},
}

const (
	vcpuTime = iota
	vcpuWait
	vcpuDelay
	vcpuHalted
)

// nsPercent is what turns nanoseconds a second into a percentage.
const nsPercent = 100 / 1e9

// emitCPU sends the CPU time of a domain and of its vCPUs. The share of time
// that the vCPUs spent waiting for a CPU of the host (their delay) is what the
// guest sees as steal.
func (g *gather) emitCPU(r *reading) {
	if r.cpu.empty() && len(r.vcpus) == 0 {
		return
	}
	var wait, delay float64
	n := 0
	for i := range r.vcpus {
		if r.vcpus[i].empty() {
			continue
		}
		s := r.meters.vcpu(i).next(r.deepAt, vcpuTable, &r.vcpus[i].row)
		wait += s[vcpuWait]
		delay += s[vcpuDelay]
		n++
		if g.wants(VCPU) {
			g.emitVCPU(r, i, &s)
		}
	}
	if !g.wants(CPU) || r.cpu.empty() {
		return
	}
	s := r.meters.cpu.next(r.deepAt, cpuTable, &r.cpu)
	counters, gauges := cpuTable.fields(&r.cpu, &s)
	if r.size.vcpus > 0 {
		all := float64(r.size.vcpus)
		gauges = append(gauges, sample.Field{Key: "vcpus", Value: r.size.vcpus})
		gauges = appendFloat(gauges, "usage_percent", s[cpuTime]*nsPercent/all)
		gauges = appendFloat(gauges, "user_percent", s[cpuUser]*nsPercent/all)
		gauges = appendFloat(gauges, "system_percent", s[cpuSystem]*nsPercent/all)
	}
	if n > 0 {
		gauges = appendFloat(gauges, "steal_percent", delay*nsPercent/float64(n))
		gauges = appendFloat(gauges, "wait_percent", wait*nsPercent/float64(n))
	}
	g.emitBoth("novacron_cpu", r.tags(g), counters, gauges)
}

func (g *gather) emitVCPU(r *reading, i int, s *steps) {
	x := &r.vcpus[i]
	counters, _ := vcpuTable.fields(&x.row, s)
	var gauges []sample.Field
	if name := vcpuState(x.state - 1); x.state > 0 && name != "" {
		gauges = append(gauges, sample.Field{Key: "state", Value: name})
	}
	if v, ok := x.get(vcpuHalted); ok {
		gauges = append(gauges, sample.Field{Key: "halted", Value: int64(v)})
	}
	gauges = appendFloat(gauges, "usage_percent", s[vcpuTime]*nsPercent)
	gauges = appendFloat(gauges, "wait_percent", s[vcpuWait]*nsPercent)
	gauges = appendFloat(gauges, "steal_percent", s[vcpuDelay]*nsPercent)
	tags := r.tags(g, sample.Tag{Key: "vcpu", Value: strconv.Itoa(i)})
	g.emitBoth("novacron_vcpu", tags, counters, gauges)
}

// vcpuState names a state of virVcpuState.
func vcpuState(n int64) string {
	switch n {
	case 0:
		return "offline"
	case 1:
		return "running"
	case 2:
		return "blocked"
	}
	return ""
}
