package anomaly

import (
	"math"
	"testing"
)

func TestCadenceFollowsTheIntervalAndTellsGaps(t *testing.T) {
	type span struct {
		points int
		every  float64 // seconds
	}
	for _, c := range []struct {
		name     string
		spans    []span
		gaps     int
		interval float64
	}{
		{"steady", []span{{50, 10}}, 0, 10},
		{"one gap", []span{{50, 10}, {1, 600}, {50, 10}}, 1, 10},
		{"an hour away is one gap, whatever its length", []span{{50, 1}, {1, 3600}, {50, 1}}, 1, 1},
		{"the agent was told to gather less often", []span{{50, 1}, {100, 30}}, newCadence, 30},
		{"the agent was told to gather a little less often", []span{{50, 10}, {200, 30}}, 0, 30},
		{"the agent was told to gather more often", []span{{50, 60}, {50, 5}}, 0, 5},
		{"the first interval was too long", []span{{1, 1}, {1, 100}, {50, 1}}, 0, 1},
	} {
		var k cadence
		at, gaps := int64(1e18), 0
		for _, s := range c.spans {
			for range s.points {
				at += int64(s.every * 1e9)
				if k.next(at) {
					gaps++
				}
			}
		}
		if gaps != c.gaps || math.Abs(k.Interval-c.interval) > c.interval/20 {
			t.Errorf("%s: %d gaps and interval %.2f s, want %d and %.0f s", c.name, gaps, k.Interval, c.gaps, c.interval)
		}
	}
}

func TestWindowCentreIgnoresAThirdOfAnotherRegime(t *testing.T) {
	var w window
	for i := range 16 {
		x := 1 + float64(i%3)/10
		if i < 5 {
			x = 100
		}
		w.push(x)
	}
	level, dev, step := w.centre(16)
	if level < 1 || level > 1.3 || dev > 0.3 || step > 0.3 {
		t.Errorf("centre of 5 points at 100 and 11 near 1.1 = %v, %v, %v; want near 1.1, 0.1, 0.1", level, dev, step)
	}
	if level, dev, step := new(window).centre(16); level != 0 || dev != 0 || step != 0 {
		t.Errorf("centre of nothing = %v, %v, %v; want zeros", level, dev, step)
	}
}

func TestQuantity(t *testing.T) {
	for _, c := range []struct {
		x    float64
		unit string
		want string
	}{
		{0, "%", "0 %"}, {1.04, "%", "1 %"}, {98.64, "%", "98.6 %"}, {-0.0001, "", "-0.0001"}, {0.25, "ms", "0.25 ms"},
		{123.4, "ms", "123 ms"}, {2500, "/s", "2500 /s"}, {25_340, "/s", "25.3 k/s"}, {3_456_789, "B/s", "3.46 MB/s"},
		{7.5e9, "B", "7.5 GB"}, {1e20, "B", "1e+20 B"}, {5e6, "", "5 M"}, {1e-9, "s", "1e-09 s"},
	} {
		if got := Quantity(c.x, c.unit); got != c.want {
			t.Errorf("Quantity(%v, %q) = %q, want %q", c.x, c.unit, got, c.want)
		}
	}
}
