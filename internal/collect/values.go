package collect

import (
	"math"
	"math/bits"
	"time"

	"github.com/novacron/terraform-provider-novacron/internal/sample"
)

// column is one number that libvirt reports about an object, and what becomes
// of it. A column without a counter is a gauge.
type column struct {
	param   string // libvirt's name inside the group: "rd.reqs"
	field   string // ours: "rd_reqs"
	unit    uint64 // factor to our unit; 0 means 1
	counter bool
	rate    string // the field of its rate per second; "" means none is sent
}

// table describes the objects of one kind; at most 16 columns.
type table []column

// index returns the column of libvirt's name, or -1.
func (t table) index(param string) int {
	for i := range t {
		if t[i].param == param {
			return i
		}
	}
	return -1
}

// row is one reading of one object: a value for each column that libvirt sent.
// The zero value is empty.
type row struct {
	vals [16]uint64
	has  uint16
}

func (r *row) set(i int, v uint64) {
	r.vals[i] = v
	r.has |= 1 << i
}

// get returns the value of a column and whether libvirt sent it.
func (r *row) get(i int) (uint64, bool) { return r.vals[i], r.has&(1<<i) != 0 }

func (r *row) empty() bool { return r.has == 0 }

// put stores libvirt's value under its name. Names that the table does not know
// are those of a newer libvirt, or of metrics that nobody asked for.
func (t table) put(r *row, param string, value any) {
	i := t.index(param)
	if i < 0 {
		return
	}
	v, ok := toUint(value)
	if !ok {
		return
	}
	if u := t[i].unit; u > 1 {
		hi, lo := bits.Mul64(v, u)
		if hi != 0 {
			return // no machine has that much: libvirt's "unknown" in KiB
		}
		v = lo
	}
	r.set(i, v)
}

// meter turns the readings of one object into rates. The zero value is ready;
// it belongs to one object during one life of its domain.
type meter struct {
	rates [16]sample.Rate
}

// steps are the rates since the last reading, NaN where there is none.
type steps [16]float64

func (m *meter) next(at time.Time, t table, r *row) (out steps) {
	for i := range t {
		out[i] = math.NaN()
		v, ok := r.get(i)
		if !ok || !t[i].counter {
			continue
		}
		if perSec, ok := m.rates[i].Next(at, float64(v)); ok {
			out[i] = perSec
		}
	}
	return out
}

// fields splits a reading into its counters and its gauges with the rates; both
// have room for a few more.
func (t table) fields(r *row, s *steps) (counters, gauges []sample.Field) {
	const more = 6
	n := bits.OnesCount16(r.has)
	counters, gauges = make([]sample.Field, 0, n), make([]sample.Field, 0, n+more)
	for i := range t {
		v, ok := r.get(i)
		if !ok {
			continue
		}
		if !t[i].counter {
			gauges = append(gauges, sample.Field{Key: t[i].field, Value: v})
			continue
		}
		counters = append(counters, sample.Field{Key: t[i].field, Value: v})
		if t[i].rate != "" {
			gauges = appendFloat(gauges, t[i].rate, s[i])
		}
	}
	return counters, gauges
}

// appendFloat appends the field unless its value is not a number.
func appendFloat(fs []sample.Field, key string, v float64) []sample.Field {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return fs
	}
	return append(fs, sample.Field{Key: key, Value: v})
}

// percent returns part of whole, NaN when the whole is nothing.
func percent(part, whole float64) float64 {
	if whole <= 0 {
		return math.NaN()
	}
	return 100 * part / whole
}

// toUint returns a number of libvirt's as uint64; ok is false for text and for
// negative numbers, which mean "unknown" there.
func toUint(v any) (n uint64, ok bool) {
	switch x := v.(type) {
	case uint32:
		return uint64(x), true
	case uint64:
		return x, true
	case int32:
		return uint64(max(x, 0)), x >= 0
	case int64:
		return uint64(max(x, 0)), x >= 0
	case bool:
		if x {
			return 1, true
		}
		return 0, true
	case float64:
		if x < 0 || x >= math.MaxUint64 || x != x {
			return 0, false
		}
		return uint64(x), true
	}
	return 0, false
}

// finite returns v, or 0 when it is not a number.
func finite(v float64) float64 {
	if math.IsNaN(v) {
		return 0
	}
	return v
}
