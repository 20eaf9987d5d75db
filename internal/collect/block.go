package collect

import (
	"math"

	"github.com/novacron/terraform-provider-novacron/internal/sample"
)

var diskTable = table{
	{param: "rd.reqs", field: "rd_reqs", counter: true, rate: "rd_reqs_per_sec"},
	{param: "wr.reqs", field: "wr_reqs", counter: true, rate: "wr_reqs_per_sec"},
	{param: "fl.reqs", field: "fl_reqs", counter: true, rate: "fl_reqs_per_sec"},
	{param: "rd.times", field: "rd_time_ns", counter: true},
	{param: "wr.times", field: "wr_time_ns", counter: true},
	{param: "fl.times", field: "fl_time_ns", counter: true},
	{param: "rd.bytes", field: "rd_bytes", counter: true, rate: "rd_bytes_per_sec"},
	{param: "wr.bytes", field: "wr_bytes", counter: true, rate: "wr_bytes_per_sec"},
	{param: "errors", field: "errors", counter: true},
	{param: "capacity", field: "capacity_bytes"},
	{param: "allocation", field: "allocation_bytes"},
	{param: "physical", field: "physical_bytes"},
}

// Columns of diskTable that others are made of: requests of each kind, and
// three further on the time they took.
const (
	diskReads = iota
	diskWrites
	diskFlushes
	diskReadTime
	diskWriteTime
	diskFlushTime
)

const (
	diskCapacity   = 9
	diskAllocation = 10
)

// emitDisks sends the disks of a domain.
func (g *gather) emitDisks(r *reading) {
	for i := range r.disks {
		x := &r.disks[i]
		if x.name == "" || x.empty() {
			continue
		}
		s := meterOf(&r.meters.disks, x.name, g.now).next(r.deepAt, diskTable, &x.row)
		counters, gauges := diskTable.fields(&x.row, &s)
		gauges = appendLatency(gauges, &s)
		size, ok := x.get(diskCapacity)
		if written, has := x.get(diskAllocation); ok && has {
			gauges = appendFloat(gauges, "used_percent", percent(float64(written), float64(size)))
		}
		if x.path != "" {
			gauges = append(gauges, sample.Field{Key: "path", Value: x.path})
		}
		tags := r.tags(g, sample.Tag{Key: "device", Value: x.name})
		g.emitBoth("novacron_block", tags, counters, gauges)
	}
}

// appendLatency appends the mean time of each kind of request and, by Little's
// law, how many were in flight on average: requests a second times the mean
// time of one is the time of requests a second.
func appendLatency(fs []sample.Field, s *steps) []sample.Field {
	depth := 0.0
	for i, name := range [...]string{"rd_latency_ms", "wr_latency_ms", "fl_latency_ms"} {
		reqs, ns := s[diskReads+i], s[diskReadTime+i]
		if math.IsNaN(ns) {
			continue // not all hypervisors time all kinds
		}
		depth += ns / 1e9
		if reqs > 0 {
			fs = appendFloat(fs, name, ns/reqs/1e6)
		}
	}
	if math.IsNaN(s[diskReadTime]) {
		return fs
	}
	fs = appendFloat(fs, "queue_depth", depth)
	return appendFloat(fs, "busy_percent", min(100, 100*depth))
}
