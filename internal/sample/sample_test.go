package sample

import (
	"testing"
	"time"
)

func TestRate(t *testing.T) {
	type step struct {
		sec    int64
		v      float64
		want   float64
		wantOK bool
	}
	cases := []struct {
		name  string
		steps []step
	}{
		{"a steady counter", []step{{1, 100, 0, false}, {11, 120, 2, true}, {21, 120, 0, true}}},
		{"guest rebooted", []step{{1, 100, 0, false}, {11, 3, 0, false}, {21, 23, 2, true}}},
		{"a late sample is ignored", []step{{10, 100, 0, false}, {5, 90, 0, false}, {20, 110, 1, true}}},
		{"a repeated sample is ignored", []step{{10, 100, 0, false}, {10, 500, 0, false}, {20, 110, 1, true}}},
		{"a gap spreads over its whole length", []step{{0, 0, 0, false}, {100, 50, .5, true}}},
	}
	for _, c := range cases {
		var r Rate
		for i, s := range c.steps {
			got, ok := r.Next(time.Unix(s.sec, 0), s.v)
			if got != s.want || ok != s.wantOK {
				t.Errorf("%s: step %d: Next(%ds, %v) = %v, %v; want %v, %v", c.name, i, s.sec, s.v, got, ok, s.want, s.wantOK)
			}
		}
	}
}

func TestKeyTellsSeriesApart(t *testing.T) {
	key := func(name, k, v, field string) string {
		s := Sample{Name: name, Tags: SortTags([]Tag{{k, v}, {"empty", ""}})}
		return string(s.AppendKey(nil, field))
	}
	base := key("m", "domain", "web", "cpu")
	for _, other := range []string{
		key("m2", "domain", "web", "cpu"), key("m", "domainw", "eb", "cpu"),
		key("m", "domain", "webcpu", ""), key("m", "host", "web", "cpu"),
	} {
		if other == base {
			t.Errorf("two series share the key %q", base)
		}
	}
	if again := key("m", "domain", "web", "cpu"); again != base {
		t.Errorf("the same series has the keys %q and %q", base, again)
	}
}

func TestFloat(t *testing.T) {
	s := Sample{Fields: []Field{{"i", int64(-1)}, {"u", uint64(2)}, {"f", 2.5}, {"b", true}, {"s", "x"}}}
	for _, c := range []struct {
		key  string
		want float64
		ok   bool
	}{{"i", -1, true}, {"u", 2, true}, {"f", 2.5, true}, {"b", 1, true}, {"s", 0, false}, {"none", 0, false}} {
		if got, ok := s.Float(c.key); got != c.want || ok != c.ok {
			t.Errorf("Float(%q) = %v, %v; want %v, %v", c.key, got, ok, c.want, c.ok)
		}
	}
}
