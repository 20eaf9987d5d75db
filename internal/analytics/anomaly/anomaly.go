// Package anomaly scores the values of one series as they arrive and says when
// one is too surprising to be chance.
//
// Each method is one file and one line in New. A detector knows one series: it
// has fixed memory, allocates nothing per point, looks only backwards and asks
// no clock, so that the same points give the same verdicts. The engine above
// routes points to detectors and keeps late, repeated and infinite ones away.
package anomaly

import (
	"github.com/novacron/terraform-provider-novacron/internal/fault"
)

// Method names a way to find anomalies.
type Method string

// The methods.
const (
	MethodTail Method = "tail" // surprise in the tails of level and change, at several time scales
)

// DefaultAlertsPerWeek is how many alarms a series of pure habit may raise in a
// week when the user says nothing: one in ten weeks. A VM has a dozen series.
const DefaultAlertsPerWeek = 0.1

// Options are what a detector is told once. The zero value means the defaults.
type Options struct {
	// AlertsPerWeek is the rate of false alarms to aim at, per series and week.
	// Detectors turn it into a threshold with the sampling interval they see.
	AlertsPerWeek float64
}

// Detector watches one series.
//
// Not safe for concurrent use. Memory is fixed at construction and at most
// 4 KB. Range and Options are not part of the saved state.
type Detector interface {
	// Step judges the next point and learns from it. v is overwritten. A
	// point that is not newer than the last, or not finite, changes nothing:
	// Step returns false and leaves v alone. No allocation.
	Step(p Point, v *Verdict) bool

	// Append appends the state to dst, Restore takes it back: the restored
	// detector goes on as if it had never stopped. Restore refuses bytes that
	// Append did not write and then leaves the detector as it was.
	Append(dst []byte) ([]byte, error)
	Restore(src []byte) error
}

// New returns a detector that has seen nothing.
func New(m Method, o Options) (Detector, error) {
	if o.AlertsPerWeek == 0 {
		o.AlertsPerWeek = DefaultAlertsPerWeek
	}
	if !(o.AlertsPerWeek > 0 && o.AlertsPerWeek <= 10_000) {
		return nil, fault.Errorf(fault.Invalid, "alerts per week is %v: it must be above 0 and at most 10000", o.AlertsPerWeek)
	}
	switch m {
	case MethodTail, "":
		return newTail(o), nil
	}
	return nil, fault.Errorf(fault.Invalid, "anomaly method %q is unknown: the methods are %q", m, []Method{MethodTail})
}

// Point is one value of a series.
type Point struct {
	At    int64 // nanoseconds since 1970
	Value float64
	Range Range
}

// Range is what is known about a series beforehand. The zero value knows
// nothing: the detector then learns the range from what it sees.
type Range struct {
	Min, Max float64 // physical bounds, known when Min < Max
	Step     float64 // the smallest change anyone would care about; 0 means unknown
}

// Known reports whether the physical bounds are known.
func (r Range) Known() bool { return r.Min < r.Max }

// State is what a detector thinks of a series.
type State uint8

// The states.
const (
	Warmup  State = iota // has not seen enough to judge; never alarms
	Normal               // the last point was to be expected, or is not yet an episode
	Anomaly              // an episode is open
	Missing              // no point for several intervals; given by the engine, never by a detector
)

// String returns the state as it is written to a metric.
func (s State) String() string {
	switch s {
	case Warmup:
		return "warmup"
	case Normal:
		return "normal"
	case Anomaly:
		return "anomaly"
	case Missing:
		return "missing"
	}
	return "unknown"
}

// Cause says why a verdict is what it is.
type Cause uint8

// The causes.
const (
	Usual     Cause = iota // within what was expected
	Learning               // warm-up
	Resuming               // grace after a gap
	High                   // above the expected range
	Low                    // below it
	Jump                   // changes faster than usual, from one point to the next
	Recovered              // back in the expected range: the episode is over
	NewLevel               // stayed at the other level: that is the baseline now
)

// Verdict is a detector's opinion of one point.
type Verdict struct {
	State State
	Cause Cause
	Alarm bool    // an episode starts here; true once for each episode
	Score float64 // 0 expected .. 0.5 the alarm threshold .. 1 impossible

	Value        float64
	ExpLow       float64 // the range in which 99.8 % of the points are expected
	ExpHigh      float64
	Typical      float64 // the baseline level
	Need         uint32  // warm-up: points still needed, at least
	EpisodeStart int64   // when the open or just ended episode began; 0 when there is none
}
