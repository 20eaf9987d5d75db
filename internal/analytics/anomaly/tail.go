package anomaly

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/novacron/terraform-provider-novacron/internal/fault"
)

// tail finds values that are improbable given how the series behaves: too far
// from its level, or too great a step from the last value, at several time
// scales.
//
// Method. View j has an exponentially weighted level m and mean absolute
// deviation s (for steps the level is 0), both learned with what deviates by
// more than clipAt s cut to that. The residual is
//
//	r_j = (x - m_j) / max(s_j, floor)
//
// and its surprise a_j = -ln P(R > r_j), from an exponential tail on r's side
// (see expTail). The views are added, T = sum a_j, and because they are not
// independent the sum is measured by its own tail: S = -ln P(T > t). An episode
// opens when S passes
//
//	ln(points per week / alerts per week)
//
// that is, where independent points of the same habit would alarm at the rate
// that was asked for. It raises an alarm when S minus the refractory h passes
// too. On opening, h becomes S (at most twice the threshold) and decays, so that
// the same again soon is no news. What belongs to an episode is kept out of the
// baseline; the tails learn its opening once it is over.
//
// On a series faster than confirmSecs one point is no proof: there, evidence is
// the sum of S less a third of the threshold over the points since the first
// that left the expected range (a CUSUM, Page 1954), so that a change that comes
// in fits and starts is found while a hiccup is not.
//
// The floor of scale is Range.Step, else 3 % of the physical range, else 2 % of
// the span seen: a change that is tiny against the range is no anomaly.
//
// Sources: peaks over threshold with exponential tails, Siffer et al.,
// "Anomaly detection in streams with extreme value theory", KDD 2017 (SPOT),
// with the shape fixed at 0 and moments instead of likelihood; the sum of
// log-surprises is Fisher's method for combining tests, calibrated by its own
// tail instead of chi-squared.
//
// Measured at 5 minutes: asked for 0.1 alarms a week, independent normal noise
// gives 0.06, exponential 0.3, log-normal 0.7, and the CPU of 27 real VMs over a
// month 0.16 (95 %: 0.08..0.26). Asked for 0.02, 0.25 and 1 a week, those VMs
// give 0.10, 0.23 and 0.47: the rate is a guide near the default, not a budget.
//
// The verdict does not change under y = a*x + b with a > 0 (range alike).
type tail struct {
	o Options
	s tailState
}

// tailState is all that is saved. Fixed size, no pointer.
type tailState struct {
	Seen     uint64
	Cadence  cadence
	Scales   scales
	Window   window
	Min, Max float64 // span seen, slowly forgetting
	Prev     float64
	Linked   bool // Prev is the point right before: no gap between
	Level    [3]ewma
	Diff     [2]ewma
	Tails    [5][2]expTail // by view, above and below
	Sum      expTail
	Refract  float64

	State       State
	BornAt      int64 // start of the present life: first point, or first after a long gap
	GraceTo     int64 // no alarm before, after a gap
	Suspect     suspicion
	Calm        uint32
	EpisodeAt   int64
	EpisodeSeen uint32
	Opening     [5]float64 // residuals that opened it: learned when it is over
	OpeningSum  float64
}

const (
	clipAt        = 6       // deviations beyond which a point's pull on the baseline is cut
	rangeFloor    = 0.03    // of the known physical range
	spanFloor     = 0.02    // of the span seen, when no range is known
	warmupPoints  = 30      // and
	warmupSeconds = 30      //
	youthSeconds  = 10 * 60 // start-up activity settles: falls do not alarm, the baseline may be taken anew
	confirmSecs   = 3       // seconds that a fast series must be away
	doubtPoints   = 120     // after so many points without proof a suspicion is dropped
	calmSecs      = 5       // seconds that it must be back
	graceSecs     = 30      // quiet after a gap: the guest may have rebooted
	adoptSeconds  = 10 * 60 // an episode this long, and
	adoptPoints   = 24      // with this many points, is a new level
	bandNats      = 6.9     // surprise at the ends of the expected range: 0.1 % of the points are beyond each
	edgeGain      = 0.15    // step of the tail thresholds
	edgeFloor     = 0.5
	sumGain       = 0.4
	sumFloor      = 4
)

func newTail(o Options) *tail {
	t := &tail{o: o}
	for j := range t.s.Tails {
		for side := range t.s.Tails[j] {
			t.s.Tails[j][side] = expTail{Edge: 2.8, Excess: 1}
		}
	}
	t.s.Sum = expTail{Edge: 14, Excess: 4}
	return t
}

// Step implements Detector.
func (t *tail) Step(p Point, v *Verdict) bool {
	s := &t.s
	x := p.Value
	if math.IsNaN(x) || math.IsInf(x, 0) || (s.Seen > 0 && p.At <= s.Cadence.Last) {
		return false
	}
	if s.Seen == 0 {
		s.BornAt, s.Min, s.Max = p.At, x, x
	}
	last := s.Cadence.Last
	if s.Cadence.next(p.At) {
		s.resume(last, p.At)
	}
	s.Scales.fit(s.Cadence.Interval, t.o.AlertsPerWeek)
	s.Seen++
	s.Min, s.Max = math.Min(s.Min, x), math.Max(s.Max, x)
	floor := s.floor(p.Range)

	*v = Verdict{Value: x}
	switch {
	case s.State == Warmup:
		s.Window.push(x)
		s.warmUp(p, floor, v)
	default:
		v.ExpLow, v.ExpHigh = s.expected(p.Range, floor)
		v.Typical = s.Level[0].Level
		s.judge(p, floor, v)
		s.Window.push(x)
		s.settle(p.At, floor)
	}
	s.Prev, s.Linked = x, true
	return true
}

// floor returns the smallest deviation that is taken for one.
func (s *tailState) floor(r Range) float64 {
	// Rounding noise of the value itself is never a deviation.
	tiny := 1e-9 * math.Max(math.Abs(s.Min), math.Abs(s.Max))
	switch {
	case r.Step > 0:
		return math.Max(r.Step, tiny)
	case r.Known():
		return math.Max(rangeFloor*(r.Max-r.Min), tiny)
	}
	return math.Max(spanFloor*(s.Max-s.Min), tiny)
}

// resume marks a gap: what was learned stays as it was, the step over the gap
// is not one of the series, and for a moment nothing alarms.
func (s *tailState) resume(last, at int64) {
	s.Linked, s.Suspect, s.Calm = false, suspicion{}, 0
	s.GraceTo = at + graceSecs*1e9
	if at-last > youthSeconds*1e9 && s.Scales.For < youthSeconds {
		s.BornAt = at
	}
}

// warmUp counts the warm-up down and, at its end, takes the first baseline.
func (s *tailState) warmUp(p Point, floor float64, v *Verdict) {
	v.State, v.Cause = Warmup, Learning
	v.ExpLow, v.ExpHigh, v.Typical = s.Min, s.Max, v.Value // what was seen so far
	if s.Seen < warmupPoints {
		v.Need = uint32(warmupPoints - s.Seen)
		return
	}
	if left := warmupSeconds - float64(p.At-s.BornAt)/1e9; left > 0 {
		v.Need = uint32(math.Ceil(left / s.Scales.For))
		return
	}
	s.State = Normal
	s.rebase()
	v.State, v.Cause = Normal, Usual
	v.ExpLow, v.ExpHigh = s.expected(p.Range, floor)
	v.Typical = s.Level[0].Level
}

// rebase takes the baseline from the last points. A fast series uses fewer of
// them: its start-up activity is still in the window.
func (s *tailState) rebase() {
	n := s.baseWindow()
	level, dev, step := s.Window.centre(n)
	for i := range s.Level {
		s.Level[i] = ewma{level, dev, float64(n)}
	}
	for i := range s.Diff {
		s.Diff[i] = ewma{0, step, float64(n)}
	}
}

func (s *tailState) baseWindow() uint32 {
	if s.Scales.For < warmupSeconds {
		return windowSize / 2
	}
	return windowSize
}

// judge scores x against what was learned before it, moves the episode on and
// learns from x unless it belongs to an episode.
func (s *tailState) judge(p Point, floor float64, v *Verdict) {
	var r [5]float64
	s.residuals(p.Value, floor, &r)
	var sum, best float64
	view := 0
	for j, x := range r {
		side, a := 0, x
		if x < 0 {
			side, a = 1, -x
		}
		n := s.Tails[j][side].nats(a)
		sum += n
		if n > best {
			best, view = n, j
		}
	}
	away := p.Value < v.ExpLow || p.Value > v.ExpHigh
	if away && s.State == Anomaly {
		sum = math.Max(sum, s.OpeningSum) // the step that led here counts for as long as it lasts
	}
	nats := s.Sum.nats(sum)
	s.Refract -= s.Refract / s.Scales.Hold
	news := math.Max(0, nats-s.Refract)
	up := r[0] > 0
	if view >= len(s.Level) {
		up = r[view] > 0
	}

	if s.State == Anomaly {
		v.Score = squash(nats, s.Scales.Alarm)
		s.episode(p, floor, v, up)
		return
	}
	v.State, v.Score = Normal, squash(news, s.Scales.Alarm)
	o := opening{at: p.At, nats: nats, news: news, sum: sum, r: r, away: away, cause: cause(view, up)}
	if !s.excused(&o, up, v) && s.suspected(&o, v) {
		return
	}
	s.learnTails(&r, sum)
	s.learn(p.Value, floor)
}

// squash maps nats to 0..1, with 0.5 at the alarm threshold.
func squash(nats, alarm float64) float64 { return nats / (nats + alarm) }

// residuals fills r: three levels, then two steps (0 right after a gap).
func (s *tailState) residuals(x, floor float64, r *[5]float64) {
	for i := range s.Level {
		r[i] = s.Level[i].of(x, floor)
	}
	if !s.Linked {
		return
	}
	for i := range s.Diff {
		r[len(s.Level)+i] = s.Diff[i].of(x-s.Prev, floor)
	}
}

func (s *tailState) learnTails(r *[5]float64, sum float64) {
	for j, x := range r {
		s.Tails[j][0].learn(x, edgeGain, edgeFloor)
		s.Tails[j][1].learn(-x, edgeGain, edgeFloor)
	}
	s.Sum.learn(sum, sumGain, sumFloor)
}

func (s *tailState) learn(x, floor float64) {
	for i := range s.Level {
		s.Level[i].learn(x, s.Scales.Level[i], floor, clipAt)
	}
	if s.Linked {
		for i := range s.Diff {
			d := &s.Diff[i]
			d.learn(x-s.Prev, s.Scales.Diff[i], floor, clipAt)
			d.Level = 0
		}
	}
	// The span forgets over a month of the slowest scale.
	k := 1 / (16 * s.Scales.Level[2])
	s.Min += (s.Level[2].Level - s.Min) * k
	s.Max += (s.Level[2].Level - s.Max) * k
}

// settle lets a young, fast series drop the start-up activity from its
// baseline: when the last points agree among themselves but not with it, they
// are the baseline.
func (s *tailState) settle(at int64, floor float64) {
	if s.State != Normal || s.Suspect.Away > 0 || s.Seen%4 != 0 || !s.young(at) {
		return
	}
	level, dev, _ := s.Window.centre(s.baseWindow())
	dev = math.Max(dev, floor)
	have := math.Max(s.Level[0].Dev, floor)
	fell := s.Level[0].Level-level > 4*dev
	if have > 3*dev || fell {
		s.rebase()
	}
}

// expected returns the range in which all but 0.1 % of the points at each
// end are expected, within the physical range.
func (s *tailState) expected(r Range, floor float64) (low, high float64) {
	dev := math.Max(s.Level[0].Dev, floor)
	low = s.Level[0].Level - dev*s.Tails[0][1].reach(bandNats)
	high = s.Level[0].Level + dev*s.Tails[0][0].reach(bandNats)
	if r.Known() {
		low = math.Max(r.Min, math.Min(low, r.Max))
		high = math.Max(r.Min, math.Min(high, r.Max))
	}
	return low, high
}

// Append implements Detector.
func (t *tail) Append(dst []byte) ([]byte, error) {
	return binary.Append(dst, binary.LittleEndian, &t.s)
}

// Restore implements Detector.
func (t *tail) Restore(src []byte) error {
	var s tailState
	if want := binary.Size(&s); len(src) != want {
		return fault.Errorf(fault.Invalid, "state of a %s detector has %d bytes, want %d", MethodTail, len(src), want)
	}
	if _, err := binary.Decode(src, binary.LittleEndian, &s); err != nil {
		return fault.As(fault.Invalid, fmt.Errorf("state of a %s detector: %w", MethodTail, err))
	}
	if s.State > Anomaly || s.Window.Len > windowSize || s.Window.Pos >= windowSize {
		return fault.Errorf(fault.Invalid, "state of a %s detector is out of bounds", MethodTail)
	}
	t.s = s
	return nil
}
