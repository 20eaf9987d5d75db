package anomaly

import "math"

// window is the last points of a series, for a robust start of a baseline.
type window struct {
	V   [windowSize]float64
	Len uint32
	Pos uint32
}

const windowSize = 32

func (w *window) push(x float64) {
	w.V[w.Pos] = x
	w.Pos = (w.Pos + 1) % windowSize
	if w.Len < windowSize {
		w.Len++
	}
}

// last copies the newest n points to dst, oldest first, and returns how many
// there were.
func (w *window) last(dst *[windowSize]float64, n uint32) int {
	n = min(n, w.Len)
	for i := range n {
		dst[i] = w.V[(w.Pos+windowSize-n+i)%windowSize]
	}
	return int(n)
}

// centre returns the median of the newest n points and their typical absolute
// deviation from it, and the typical absolute step between neighbours. Up to a
// third of the points may be from another regime without harm.
func (w *window) centre(n uint32) (level, dev, step float64) {
	var v, d [windowSize]float64
	k := w.last(&v, n)
	if k == 0 {
		return 0, 0, 0
	}
	for i := 1; i < k; i++ {
		d[i-1] = math.Abs(v[i] - v[i-1])
	}
	step = quantile(d[:k-1], deviationShare) * deviationScale
	level = quantile(v[:k], 0.5)
	for i := range k {
		d[i] = math.Abs(v[i] - level)
	}
	return level, quantile(d[:k], deviationShare) * deviationScale, step
}

// The deviation that 62 % of normal values stay below is 0.88 sigma; their mean
// absolute deviation is 0.80 sigma.
const (
	deviationShare = 0.62
	deviationScale = 0.9
)

// quantile sorts v (at most windowSize values, by insertion: no allocation) and
// returns its q-quantile, 0 when v is empty.
func quantile(v []float64, q float64) float64 {
	if len(v) == 0 {
		return 0
	}
	for i := 1; i < len(v); i++ {
		x, j := v[i], i-1
		for ; j >= 0 && v[j] > x; j-- {
			v[j+1] = v[j]
		}
		v[j+1] = x
	}
	at := q * float64(len(v)-1)
	i := int(at)
	if i+1 >= len(v) {
		return v[len(v)-1]
	}
	return v[i] + (at-float64(i))*(v[i+1]-v[i])
}

// ewma is an exponentially weighted level and mean absolute deviation. N counts
// points up to the time constant, so that a young one is a plain mean.
type ewma struct {
	Level, Dev, N float64
}

// learn takes x into account, over tau points. What deviates by more than
// clip deviations counts as that much: a spike moves the baseline little.
func (e *ewma) learn(x, tau, floor, clip float64) {
	e.N = math.Min(e.N+1, tau)
	most := clip * math.Max(e.Dev, floor)
	d := math.Max(-most, math.Min(most, x-e.Level))
	e.Level += d / e.N
	e.Dev += (math.Abs(d) - e.Dev) / e.N
}

// of returns x in deviations from the level. Where nothing ever deviated,
// nothing does.
func (e *ewma) of(x, floor float64) float64 {
	d := x - e.Level
	s := math.Max(e.Dev, floor)
	if d == 0 || s <= 0 {
		return 0
	}
	return d / s
}

// scales are the time constants of the views, in points: wall-clock spans that
// people think in, cut to what a number of points can carry.
type scales struct {
	For   float64 // the interval they were worked out for
	Level [3]float64
	Diff  [2]float64
	Alarm float64 // nats that raise an alarm
	Hold  float64 // time constant of the refractory
}

// fit works the scales out anew when the interval has moved by a tenth.
func (s *scales) fit(interval, alertsPerWeek float64) {
	if interval <= 0 || math.Abs(interval-s.For) <= s.For/10 {
		return
	}
	points := func(seconds, low, high float64) float64 {
		return math.Max(low, math.Min(high, seconds/interval))
	}
	s.For = interval
	s.Level = [3]float64{points(600, 12, 60), points(7200, 48, 600), points(86400, 192, 4096)}
	s.Diff = [2]float64{points(1800, 24, 300), points(86400, 192, 4096)}
	s.Alarm = math.Max(minAlarmNats, math.Log(7*86400/interval/alertsPerWeek))
	s.Hold = points(6*3600, 24, 120)
}

// minAlarmNats keeps rarely sampled series from alarming at the edge of the
// tail, where "exponential" is still a guess.
const minAlarmNats = 6
