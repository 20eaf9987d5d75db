package analytics

import (
	"path"
	"strings"

	"github.com/novacron/terraform-provider-novacron/internal/analytics/anomaly"
	"github.com/novacron/terraform-provider-novacron/internal/fault"
	"github.com/novacron/terraform-provider-novacron/internal/sample"
)

// Rule chooses fields to score and says what is known about them. Measurement
// and Field are globs as in path.Match; the first rule that matches wins.
type Rule struct {
	Measurement string
	Field       string

	Min, Max float64 // physical range, known when Min < Max
	MaxField string  // a field of the same sample that holds the upper bound instead of Max
	Step     float64 // smallest change that anyone would care about; 0 means unknown
	Title    string  // what people call it; "" makes one from the names
	Unit     string  // "" is read off the field's name
	Sparse   bool    // points may stay away for long without anything being wrong
}

// DefaultRules are the gauges of our own inputs that tell how a guest is doing.
// Steps are what an operator would shrug at.
func DefaultRules() []Rule {
	percent := func(measurement, field, title string, step float64) Rule {
		return Rule{Measurement: measurement, Field: field, Max: 100, Step: step, Title: title, Unit: "%"}
	}
	return []Rule{
		percent("novacron_cpu", "usage_percent", "cpu usage", 3),
		percent("novacron_cpu", "steal_percent", "cpu steal", 4),
		percent("novacron_memory", "used_percent", "memory used", 3),
		{Measurement: "novacron_block", Field: "??_latency_ms", Step: 5, Sparse: true},
		{Measurement: "novacron_block", Field: "??_reqs_per_sec", Step: 50},
		{Measurement: "novacron_block", Field: "??_bytes_per_sec", Step: 2 << 20},
		{Measurement: "novacron_net", Field: "??_bytes_per_sec", Step: 1 << 20},
		{Measurement: "novacron_net", Field: "??_drop_per_sec", Step: 5},
		percent("novacron_host", "cpu_usage_percent", "host cpu usage", 3),
		percent("novacron_host", "memory_used_percent", "host memory used", 3),
	}
}

// check refuses rules that could never match or contradict themselves.
func (r *Rule) check() error {
	for _, g := range []string{r.Measurement, r.Field} {
		if _, err := path.Match(g, ""); err != nil || g == "" {
			return fault.Errorf(fault.Invalid, "rule %q %q: %q is not a pattern: use * and ? and [a-z]", r.Measurement, r.Field, g)
		}
	}
	if r.Min > r.Max {
		return fault.Errorf(fault.Invalid, "rule %q %q: min %v is above max %v", r.Measurement, r.Field, r.Min, r.Max)
	}
	if !(r.Step >= 0) {
		return fault.Errorf(fault.Invalid, "rule %q %q: step %v must not be negative", r.Measurement, r.Field, r.Step)
	}
	return nil
}

func (r *Rule) matches(measurement, field string) bool {
	m, _ := path.Match(r.Measurement, measurement)
	f, _ := path.Match(r.Field, field)
	return m && f
}

// units are what the endings of field names stand for, longest first.
var units = []struct{ ending, unit string }{
	{"_bytes_per_sec", "B/s"}, {"_per_sec", "/s"}, {"_percent", "%"}, {"_bytes", "B"}, {"_ms", "ms"},
}

// named fills in title and unit from the names.
func (r Rule) named(measurement, field string) Rule {
	rest := field
	for _, u := range units {
		if cut, ok := strings.CutSuffix(field, u.ending); ok {
			if r.Unit == "" {
				r.Unit = u.unit
			}
			rest = strings.TrimSuffix(field, "_per_sec")
			if u.unit == "%" || u.unit == "ms" {
				rest = cut
			}
			break
		}
	}
	if r.Title == "" {
		r.Title = strings.ReplaceAll(strings.TrimPrefix(measurement, "novacron_")+" "+rest, "_", " ")
	}
	return r
}

// rulebook finds the rule of a field; it remembers answers, so that a name is
// matched once.
type rulebook struct {
	rules []Rule
	known map[string]map[string]*Rule
	size  int
}

// bookLimit bounds what a rulebook remembers, should names be endless.
const bookLimit = 20_000

func newRulebook(rules []Rule) (*rulebook, error) {
	for i := range rules {
		if err := rules[i].check(); err != nil {
			return nil, err
		}
	}
	return &rulebook{rules: rules, known: map[string]map[string]*Rule{}}, nil
}

// find returns the rule of the field, nil when it is not scored.
func (b *rulebook) find(measurement, field string) *Rule {
	fields := b.known[measurement]
	if r, ok := fields[field]; ok {
		return r
	}
	if b.size >= bookLimit {
		b.known, b.size, fields = map[string]map[string]*Rule{}, 0, nil
	}
	if fields == nil {
		fields = map[string]*Rule{}
		b.known[strings.Clone(measurement)] = fields
	}
	var found *Rule
	for i := range b.rules {
		if b.rules[i].matches(measurement, field) {
			r := b.rules[i].named(strings.Clone(measurement), strings.Clone(field))
			found = &r
			break
		}
	}
	fields[strings.Clone(field)] = found
	b.size++
	return found
}

// bounds returns what is known of the range of the rule's field in s.
func (r *Rule) bounds(s *sample.Sample) anomaly.Range {
	out := anomaly.Range{Min: r.Min, Max: r.Max, Step: r.Step}
	if r.MaxField == "" {
		return out
	}
	if v, ok := s.Float(r.MaxField); ok && v > r.Min {
		out.Max = v
	}
	return out
}
