// Package analytics is the engine of the metric river: it keeps a detector for
// every series that is worth watching and turns samples into verdicts.
//
// Time comes from the samples alone, so that the same samples give the same
// verdicts, live or replayed.
package analytics

import (
	"math"
	"time"

	"github.com/novacron/terraform-provider-novacron/internal/analytics/anomaly"
	"github.com/novacron/terraform-provider-novacron/internal/fault"
	"github.com/novacron/terraform-provider-novacron/internal/sample"
)

// The measurements that the engine emits. It never scores them.
const (
	MeasurementAnomaly = "novacron_anomaly"
	MeasurementEngine  = "novacron_engine"
)

// Report says which verdicts are emitted.
type Report string

// The reports. ReportChanges emits a verdict when the state of a series changes,
// while it is an anomaly, when its score is notable, and as a sign of life once
// in a Heartbeat: enough to draw the score of every series.
const (
	ReportChanges Report = "changes"
	ReportAll     Report = "all"
)

// notable is the score from which a verdict is always emitted.
const notable = 0.3

// Options configure an engine. The zero value means the defaults.
type Options struct {
	Rules          []Rule         // what to score; nil means DefaultRules
	Method         anomaly.Method // how; "" means tail
	AlertsPerWeek  float64        // false alarms to aim at, per series; 0 means anomaly.DefaultAlertsPerWeek
	MaxSeries      int            // beyond it the longest idle is forgotten; 0 means 20000
	Report         Report         // "" means ReportChanges
	Heartbeat      time.Duration  // of sample time; 0 means one minute
	HealthInterval time.Duration  // of sample time, between two samples of the engine's own health; 0 means 10 s
	Tags           []sample.Tag   // of the health samples, sorted

	// Tell is called with one plain line when an alarm starts and when it ends;
	// nil means nobody listens.
	Tell func(t Turn, line string)

	// Clock measures the cost of a point, nothing else; nil means it is not
	// measured and not reported.
	Clock func() time.Time
}

// Turn is the start or the end of an alarm.
type Turn bool

// The turns.
const (
	Starts Turn = true
	Ends   Turn = false
)

const (
	defaultMaxSeries = 20_000
	maxMaxSeries     = 10_000_000
	defaultHeartbeat = time.Minute
	defaultHealth    = 10 * time.Second
)

// Engine scores samples. Memory is about 1.2 KB for each series and bounded by
// MaxSeries. Not safe for concurrent use: the caller serialises Process, Save,
// Load and Stats.
type Engine struct {
	o      Options
	book   *rulebook
	series map[string]*series
	order  *ring
	clock  watermark
	stats  Stats
	health int64 // sample time at which the next health sample is due
	cost   costMeter

	key     []byte // of the point at hand
	verdict anomaly.Verdict
}

// Stats counts what an engine did; the first group describes the present.
type Stats struct {
	Series, WarmingUp, Anomalies, Missing uint64

	Samples    uint64 // that were offered
	Points     uint64 // that were judged
	Alarms     uint64
	Late       uint64 // points older than the last of their series
	Duplicates uint64 // points of the same time as the last
	Invalid    uint64 // NaN, infinite, or not a number
	Evicted    uint64 // series forgotten because there were too many
}

// New returns an engine that has seen nothing. Options that make no sense are
// fault.Invalid.
func New(o Options) (*Engine, error) {
	if o.Rules == nil {
		o.Rules = DefaultRules()
	}
	if o.MaxSeries == 0 {
		o.MaxSeries = defaultMaxSeries
	}
	if o.Heartbeat == 0 {
		o.Heartbeat = defaultHeartbeat
	}
	if o.HealthInterval == 0 {
		o.HealthInterval = defaultHealth
	}
	if o.Report == "" {
		o.Report = ReportChanges
	}
	if o.Method == "" {
		o.Method = anomaly.MethodTail
	}
	if err := o.check(); err != nil {
		return nil, err
	}
	book, err := newRulebook(o.Rules)
	if err != nil {
		return nil, fault.At("rule", err)
	}
	return &Engine{o: o, book: book, series: map[string]*series{}, order: newRing()}, nil
}

func (o *Options) check() error {
	switch {
	case o.MaxSeries < 1 || o.MaxSeries > maxMaxSeries:
		return fault.At("max_series", fault.Errorf(fault.Invalid, "max_series is %d: it must be 1 to %d", o.MaxSeries, maxMaxSeries))
	case o.Heartbeat < 0:
		return fault.At("heartbeat", fault.Errorf(fault.Invalid, "heartbeat is %v: it must not be negative", o.Heartbeat))
	case o.HealthInterval < time.Second:
		return fault.At("health_interval", fault.Errorf(fault.Invalid, "health_interval is %v: it must be at least 1s", o.HealthInterval))
	case o.Report != ReportAll && o.Report != ReportChanges:
		return fault.At("report", fault.Errorf(fault.Invalid, "report is %q: it must be %q or %q", o.Report, ReportChanges, ReportAll))
	}
	_, err := anomaly.New(o.Method, anomaly.Options{AlertsPerWeek: o.AlertsPerWeek})
	return err
}

// Process judges every field of s that a rule matches and hands the verdicts to
// emit, which may keep them. Counters are not judged: their rates are. s is only
// read and nothing of it is kept.
func (e *Engine) Process(s *sample.Sample, emit func(sample.Sample)) {
	e.stats.Samples++
	start := e.cost.begin(e.o.Clock)
	points := e.stats.Points
	at := s.Time.UnixNano()
	if e.clock.advance(at) {
		e.health = 0
	}
	if s.Type == sample.Gauge && s.Name != MeasurementAnomaly && s.Name != MeasurementEngine {
		for _, f := range s.Fields {
			if r := e.book.find(s.Name, f.Key); r != nil {
				e.point(s, f, r, at, emit)
			}
		}
	}
	e.cost.end(start, e.o.Clock, e.stats.Points-points)
	if e.clock.now >= e.health {
		e.checkHealth(emit)
	}
}

// point judges one field.
func (e *Engine) point(s *sample.Sample, f sample.Field, r *Rule, at int64, emit func(sample.Sample)) {
	x, ok := f.Float()
	if !ok || math.IsNaN(x) || math.IsInf(x, 0) {
		e.stats.Invalid++
		return
	}
	e.key = s.AppendKey(e.key[:0], f.Key)
	one := e.series[string(e.key)]
	fresh := one == nil
	if fresh {
		one = e.admit(string(e.key), r)
	}
	v := &e.verdict // here, because a local one would be allocated anew for every point
	if !one.detector.Step(anomaly.Point{At: at, Value: x, Range: r.bounds(s)}, v) {
		e.refused(one, at)
		return
	}
	e.stats.Points++
	e.order.touch(one)
	one.pace(at)
	if e.note(one, fresh, v, s, at) || e.o.Report == ReportAll {
		one.sent = at
		emit(verdictSample(s, f.Key, r, v))
	}
}

// refused counts a point that is not newer than the last. A series whose one
// point from far ahead shuts all later ones out is started anew.
func (e *Engine) refused(one *series, at int64) {
	if at == one.last {
		e.stats.Duplicates++
		return
	}
	e.stats.Late++
	if one.last-at < int64(time.Hour) {
		return
	}
	if one.late++; one.late >= latePatience {
		e.forget(one)
	}
}

// admit makes room for a series and returns it.
func (e *Engine) admit(key string, r *Rule) *series {
	if len(e.series) >= e.o.MaxSeries {
		e.forget(e.order.oldest())
		e.stats.Evicted++
	}
	one := &series{key: key, rule: r, detector: e.newDetector(), state: anomaly.Warmup}
	e.series[key] = one
	e.order.touch(one)
	e.count(one.state, 1)
	e.stats.Series++
	return one
}

func (e *Engine) newDetector() anomaly.Detector {
	d, err := anomaly.New(e.o.Method, anomaly.Options{AlertsPerWeek: e.o.AlertsPerWeek})
	if err != nil {
		panic("analytics: options were checked by New: " + err.Error())
	}
	return d
}

func (e *Engine) forget(one *series) {
	e.order.remove(one)
	delete(e.series, one.key)
	e.count(one.state, -1)
	e.stats.Series--
}

// count keeps the numbers of series by state.
func (e *Engine) count(s anomaly.State, by int) {
	n := uint64(by) // wraps around for -1, which uint64 addition undoes
	switch s {
	case anomaly.Warmup:
		e.stats.WarmingUp += n
	case anomaly.Anomaly:
		e.stats.Anomalies += n
	case anomaly.Missing:
		e.stats.Missing += n
	}
}

// note keeps what the verdict changes and reports whether it is worth telling.
func (e *Engine) note(one *series, fresh bool, v *anomaly.Verdict, s *sample.Sample, at int64) bool {
	changed := fresh || v.State != one.state
	e.count(one.state, -1)
	one.state = v.State
	e.count(one.state, 1)
	if v.Alarm {
		e.stats.Alarms++
	}
	if v.Alarm || (one.alarmed && v.State == anomaly.Normal) {
		one.alarmed = v.Alarm
		e.tell(Turn(v.Alarm), s, one.rule, v)
	}
	return changed || v.State == anomaly.Anomaly || v.Score >= notable || at-one.sent >= int64(e.o.Heartbeat)
}

// Stats returns the counts so far.
func (e *Engine) Stats() Stats { return e.stats }
