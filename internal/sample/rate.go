package sample

import "time"

// Rate turns a growing counter into a per-second rate.
//
// A counter that falls was reset (the guest rebooted): that step has no rate,
// rather than a huge negative one. Constant memory. Not safe for concurrent
// use: each series owns its Rate. The zero value is ready to use.
type Rate struct {
	at time.Time
	v  float64
}

// Next returns the rate since the last value, and whether there is one.
func (r *Rate) Next(at time.Time, v float64) (perSec float64, ok bool) {
	if !at.After(r.at) {
		return 0, false // late or repeated sample: keep the newer state
	}
	prev := *r
	*r = Rate{at, v}
	if prev.at.IsZero() || v < prev.v {
		return 0, false
	}
	return (v - prev.v) / at.Sub(prev.at).Seconds(), true
}
