package anomaly

import "math"

// tailShare is the share of points that count as the tail of a distribution.
const tailShare = 0.03

// tailNats is the surprise, in nats, of a point at the edge of the tail.
var tailNats = math.Log(1 / tailShare)

// expTail estimates the upper tail of a stream: the threshold that tailShare of
// the values exceed and the mean excess over it. Beyond the threshold the tail
// is taken for exponential (the generalised Pareto distribution of extreme
// value theory with shape 0), so
//
//	P(X > x) = tailShare * exp(-(x-Edge)/Excess)
//
// The threshold follows by stochastic approximation (Robbins and Monro 1951):
// a step up of gain*(1-tailShare) for a value above, a step down of
// gain*tailShare for one below, at rest where tailShare are above. Constant
// memory, no history.
type expTail struct {
	Edge   float64 // the threshold
	Excess float64 // mean excess over it
	Count  float64 // exceedances that Excess rests on, at most excessMemory
}

const (
	excessMemory = 40 // exceedances after which old ones are forgotten
	excessPrior  = 6  // the first guess counts as much as this many
	excessClip   = 8  // no single exceedance counts for more than this many mean excesses
	excessGrowth = .5 // and moves their mean up by at most this share: matters while there are few
)

// nats returns the surprise of x, -ln P(X > x); below the edge it rises in a
// straight line from 0.
func (t *expTail) nats(x float64) float64 {
	if x <= 0 {
		return 0
	}
	if x <= t.Edge {
		return tailNats * x / t.Edge
	}
	return tailNats + (x-t.Edge)/t.Excess
}

// reach returns the value whose surprise is nats, at least tailNats.
func (t *expTail) reach(nats float64) float64 {
	return t.Edge + t.Excess*(nats-tailNats)
}

// learn takes x into account; gain is the step of the threshold, floor its
// lowest value.
func (t *expTail) learn(x, gain, floor float64) {
	if x <= t.Edge {
		t.Edge = math.Max(floor, t.Edge-gain*tailShare)
		return
	}
	t.Count = math.Min(t.Count+1, excessMemory)
	weight := 1 / (t.Count + excessPrior)
	e := math.Min(x-t.Edge, t.Excess*math.Min(excessClip, 1+excessGrowth/weight))
	t.Excess += (e - t.Excess) * weight
	t.Edge += gain * (1 - tailShare)
}
