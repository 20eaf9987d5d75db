package collect

import "github.com/novacron/terraform-provider-novacron/internal/sample"

// kib is the unit of libvirt's memory numbers.
const kib = 1024

var memoryTable = table{
	{param: "current", field: "current_bytes", unit: kib},
	{param: "maximum", field: "max_bytes", unit: kib},
	{param: "rss", field: "rss_bytes", unit: kib},
	{param: "available", field: "available_bytes", unit: kib},
	{param: "unused", field: "unused_bytes", unit: kib},
	{param: "usable", field: "usable_bytes", unit: kib},
	{param: "disk_caches", field: "disk_caches_bytes", unit: kib},
	{param: "last-update", field: "last_update"},
	{param: "swap_in", field: "swap_in_bytes", unit: kib, counter: true, rate: "swap_in_bytes_per_sec"},
	{param: "swap_out", field: "swap_out_bytes", unit: kib, counter: true, rate: "swap_out_bytes_per_sec"},
	{param: "major_fault", field: "major_faults", counter: true, rate: "major_faults_per_sec"},
	{param: "minor_fault", field: "minor_faults", counter: true, rate: "minor_faults_per_sec"},
	{param: "hugetlb_pgalloc", field: "hugetlb_pgalloc", counter: true},
	{param: "hugetlb_pgfail", field: "hugetlb_pgfail", counter: true},
}

// Columns of memoryTable that others are made of.
const (
	memCurrent = iota
	memMaximum
	memRSS
	memAvailable
	memUnused
	memUsable
)

// emitMemory sends what the host and the guest know about the guest's memory.
func (g *gather) emitMemory(r *reading) {
	if r.balloon.empty() {
		return
	}
	s := r.meters.memory.next(r.deepAt, memoryTable, &r.balloon)
	counters, gauges := memoryTable.fields(&r.balloon, &s)
	if used, available, ok := usedMemory(&r.balloon); ok {
		gauges = append(gauges, sample.Field{Key: "used_bytes", Value: used})
		gauges = appendFloat(gauges, "used_percent", percent(float64(used), float64(available)))
	}
	g.emitBoth("novacron_memory", r.tags(g), counters, gauges)
}

// usedMemory returns what the guest uses of what it has: all but what it could
// give to a program without swapping, or, when an old guest does not say that,
// all but what nobody touched.
func usedMemory(r *row) (used, available uint64, ok bool) {
	available, ok = r.get(memAvailable)
	if !ok {
		return 0, 0, false
	}
	free, ok := r.get(memUsable)
	if !ok {
		free, ok = r.get(memUnused)
	}
	if !ok || free > available {
		return 0, 0, false
	}
	return available - free, available, true
}
