// Package tmetric is the one crossing between our samples and Telegraf's
// metrics.
//
// Tags stay sorted, values keep their type (int64, uint64, float64, bool,
// string) and the kind of series survives: a counter stays a counter, and
// everything else of Telegraf's (gauge, untyped, summary, histogram) is a gauge
// here.
package tmetric

import (
	"slices"
	"strings"

	"github.com/influxdata/telegraf"
	"github.com/influxdata/telegraf/metric"

	"github.com/novacron/terraform-provider-novacron/internal/sample"
)

// Metric returns a new Telegraf metric with the content of s; it shares nothing
// with s that either may change. A field of a type that a sample cannot hold is
// left out.
func Metric(s *sample.Sample) telegraf.Metric {
	m := metric.New(s.Name, nil, nil, s.Time, valueType(s.Type))
	for _, t := range s.Tags {
		m.AddTag(t.Key, t.Value)
	}
	for _, f := range s.Fields {
		if holds(f.Value) {
			m.AddField(f.Key, f.Value)
		}
	}
	return m
}

// Sample fills dst with the content of m, reusing dst's slices: with the same
// dst for every metric it does not allocate. Tags come out sorted, each key
// once, without empty values; fields without a usable value are left out, so
// that dst may end up with no field at all. Neither m nor its acceptance is
// touched.
func Sample(dst *sample.Sample, m telegraf.Metric) {
	dst.Name, dst.Time, dst.Type = m.Name(), m.Time(), sampleType(m.Type())
	dst.Tags, dst.Fields = dst.Tags[:0], dst.Fields[:0]
	sorted := true
	for _, t := range m.TagList() {
		if t.Value == "" {
			continue
		}
		if n := len(dst.Tags); n > 0 && dst.Tags[n-1].Key >= t.Key {
			sorted = false
		}
		dst.Tags = append(dst.Tags, sample.Tag{Key: t.Key, Value: t.Value})
	}
	if !sorted {
		slices.SortStableFunc(dst.Tags, func(a, b sample.Tag) int { return strings.Compare(a.Key, b.Key) })
		dst.Tags = slices.CompactFunc(dst.Tags, func(a, b sample.Tag) bool { return a.Key == b.Key })
	}
	for _, f := range m.FieldList() {
		if holds(f.Value) {
			dst.Fields = append(dst.Fields, sample.Field{Key: f.Key, Value: f.Value})
		}
	}
}

// holds reports whether v is of a type that a sample's field may have.
func holds(v any) bool {
	switch v.(type) {
	case int64, uint64, float64, bool, string:
		return true
	}
	return false
}

func valueType(t sample.Type) telegraf.ValueType {
	if t == sample.Counter {
		return telegraf.Counter
	}
	return telegraf.Gauge
}

func sampleType(t telegraf.ValueType) sample.Type {
	if t == telegraf.Counter {
		return sample.Counter
	}
	return sample.Gauge
}
