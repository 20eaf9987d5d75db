package analytics

import (
	"math"
	"time"

	"github.com/novacron/terraform-provider-novacron/internal/analytics/anomaly"
	"github.com/novacron/terraform-provider-novacron/internal/sample"
)

// watermark is the newest sample time so far. One sample from the future must
// not make everybody else look late for ever, so it goes back when samples
// keep coming from long before it.
type watermark struct {
	now    int64
	behind uint32 // samples in a row from more than an hour before now
}

// latePatience is how many samples in a row from long ago say that it was the
// newest that was wrong.
const latePatience = 100

// advance takes the time of a sample; back is true when now went back.
func (w *watermark) advance(at int64) (back bool) {
	switch {
	case at > w.now:
		w.now, w.behind = at, 0
	case w.now-at < int64(time.Hour):
		w.behind = 0
	default:
		if w.behind++; w.behind >= latePatience {
			w.now, w.behind = at, 0
			return true
		}
	}
	return false
}

// costMeter measures one sample in costEvery, so that measuring costs little.
type costMeter struct {
	turn   uint32
	spent  time.Duration
	points uint64
}

const costEvery = 32

func (c *costMeter) begin(clock func() time.Time) time.Time {
	c.turn++
	if clock == nil || c.turn%costEvery != 0 {
		return time.Time{}
	}
	return clock()
}

func (c *costMeter) end(start time.Time, clock func() time.Time, points uint64) {
	if start.IsZero() || points == 0 {
		return
	}
	c.spent += clock().Sub(start)
	c.points += points
}

// take returns nanoseconds per point since the last take.
func (c *costMeter) take() (ns float64, ok bool) {
	if c.points == 0 {
		return 0, false
	}
	ns = math.Round(float64(c.spent.Nanoseconds()) / float64(c.points))
	c.spent, c.points = 0, 0
	return ns, true
}

// A series is missing after so many of its intervals, and after missingAfter.
const (
	missingIntervals = 5
	missingAfter     = int64(30 * time.Second)
)

// checkHealth finds series that stopped and emits the engine's own health.
func (e *Engine) checkHealth(emit func(sample.Sample)) {
	now := e.clock.now
	first := e.health == 0
	e.health = now - now%int64(e.o.HealthInterval) + int64(e.o.HealthInterval)
	if first {
		return // nothing to tell yet
	}
	for one := e.order.oldest(); one != nil && now-one.last > missingAfter; one = e.order.next(one) {
		if one.state == anomaly.Missing || one.rule.Sparse || now-one.last <= missingIntervals*one.interval {
			continue
		}
		e.count(one.state, -1)
		one.state, one.sent = anomaly.Missing, now
		e.count(one.state, 1)
		emit(missingSample(one, now))
	}
	e.emitHealth(now, emit)
}

func (e *Engine) emitHealth(now int64, emit func(sample.Sample)) {
	s := e.stats
	at := time.Unix(0, now).UTC()
	gauges := []sample.Field{
		{Key: "anomalies", Value: s.Anomalies},
		{Key: "missing", Value: s.Missing},
		{Key: "series", Value: s.Series},
		{Key: "warming_up", Value: s.WarmingUp},
	}
	if ns, ok := e.cost.take(); ok {
		gauges = append([]sample.Field{{Key: "cost_ns_per_point", Value: ns}}, gauges...)
	}
	emit(sample.Sample{Name: MeasurementEngine, Time: at, Tags: append([]sample.Tag(nil), e.o.Tags...), Fields: gauges})
	emit(sample.Sample{
		Name: MeasurementEngine, Time: at, Type: sample.Counter, Tags: append([]sample.Tag(nil), e.o.Tags...),
		Fields: []sample.Field{
			{Key: "alarms", Value: s.Alarms},
			{Key: "dropped", Value: s.Late + s.Duplicates + s.Invalid},
			{Key: "duplicates", Value: s.Duplicates},
			{Key: "evicted", Value: s.Evicted},
			{Key: "invalid", Value: s.Invalid},
			{Key: "late", Value: s.Late},
			{Key: "points", Value: s.Points},
			{Key: "samples", Value: s.Samples},
		},
	})
}
