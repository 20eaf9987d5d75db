// Package detecttest is the suite that every anomaly detector passes: what is
// promised about all of them, whatever their method.
package detecttest

import (
	"bytes"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/novacron/terraform-provider-novacron/internal/analytics/anomaly"
)

// MaxBytes is the most that the state of a detector may take.
const MaxBytes = 4096

const minute = int64(60e9)

// Run runs the suite. fresh returns a detector that has seen nothing.
func Run(t *testing.T, fresh func() anomaly.Detector) {
	s := suite{fresh}
	t.Run("a constant series is silent", s.constant)
	t.Run("a scaled and shifted series gets the same verdicts", s.affine)
	t.Run("repeated and late points change nothing", s.stale)
	t.Run("NaN and infinity change nothing", s.notFinite)
	t.Run("saved and restored goes on as if unbroken", s.saved)
	t.Run("the same points get the same verdicts twice", s.repeated)
	t.Run("no verdict depends on a later point", s.causal)
	t.Run("warm-up is visible and never alarms", s.warmUp)
	t.Run("a gap alone is no anomaly and ages nothing", s.gap)
	t.Run("a level shift is one alarm and then the new normal", s.shift)
	t.Run("an episode is one alarm and its end is visible", s.episode)
	t.Run("state is small and of one size", s.size)
	t.Run("foreign state is refused", s.foreign)
	t.Run("a point allocates nothing", s.allocations)
}

type suite struct{ fresh func() anomaly.Detector }

// habit is n points, a minute apart: a daily wave with noise around 40, in 0..100.
func habit(n int, seed uint64) []anomaly.Point {
	r := rand.New(rand.NewPCG(seed, 7))
	out := make([]anomaly.Point, n)
	noise := 0.0
	for i := range out {
		noise = 0.8*noise + r.NormFloat64()
		wave := 10 * math.Sin(2*math.Pi*float64(i)/1440)
		out[i] = anomaly.Point{At: int64(i+1) * minute, Value: 40 + wave + noise}
	}
	return out
}

// eventful is habit with spikes and a level shift.
func eventful(n int, seed uint64) []anomaly.Point {
	out := habit(n, seed)
	for _, at := range []int{n / 3, n/3 + 1, n / 2} {
		out[at].Value += 45
	}
	for i := n * 3 / 4; i < n; i++ {
		out[i].Value -= 30
	}
	return out
}

func within(r anomaly.Range, points []anomaly.Point) []anomaly.Point {
	out := append([]anomaly.Point(nil), points...)
	for i := range out {
		out[i].Range = r
	}
	return out
}

func verdicts(d anomaly.Detector, points []anomaly.Point) []anomaly.Verdict {
	out := make([]anomaly.Verdict, len(points))
	for i, p := range points {
		d.Step(p, &out[i])
	}
	return out
}

func alarms(vs []anomaly.Verdict) (at []int) {
	for i := range vs {
		if vs[i].Alarm {
			at = append(at, i)
		}
	}
	return at
}

func state(t *testing.T, d anomaly.Detector) []byte {
	t.Helper()
	b, err := d.Append(nil)
	if err != nil {
		t.Fatalf("Append(nil) = %v, want no error", err)
	}
	return b
}

func (s suite) constant(t *testing.T) {
	for _, r := range []anomaly.Range{{}, {Max: 100}, {Step: 1e-12}} {
		for _, x := range []float64{0, 42, 0.1, -7e9} {
			points := habit(3000, 1)
			for i := range points {
				points[i].Value, points[i].Range = x, r
			}
			for i, v := range verdicts(s.fresh(), points) {
				if v.Alarm || v.Score > 0.01 || v.State == anomaly.Anomaly {
					t.Fatalf("constant %v, range %v, point %d: Step = %+v, want score 0 and no alarm", x, r, i, v)
				}
			}
		}
	}
}

func (s suite) affine(t *testing.T) {
	for _, r := range []anomaly.Range{{}, {Max: 100}, {Step: 2}} {
		points := within(r, eventful(6000, 2))
		want := verdicts(s.fresh(), points)
		if len(alarms(want)) == 0 {
			t.Fatalf("range %v: the eventful series raises no alarm: it proves nothing", r)
		}
		for _, f := range []struct{ a, b float64 }{{8, 0}, {0.25, 0}, {3.7, -1000}, {1e-3, 5}, {1e6, 1e6}} {
			other := append([]anomaly.Point(nil), points...)
			for i, p := range points {
				other[i].Value = f.a*p.Value + f.b
				other[i].Range.Step = f.a * r.Step
				if r.Known() {
					other[i].Range.Min, other[i].Range.Max = f.a*r.Min+f.b, f.a*r.Max+f.b
				}
			}
			got := verdicts(s.fresh(), other)
			for i := range got {
				if got[i].Alarm != want[i].Alarm || got[i].State != want[i].State || math.Abs(got[i].Score-want[i].Score) > 1e-6 {
					t.Fatalf("range %v, y = %v x + %v, point %d: Step = %+v, want state, alarm and score of %+v", r, f.a, f.b, i, got[i], want[i])
				}
			}
		}
	}
}

func (s suite) stale(t *testing.T) {
	d := s.fresh()
	points := eventful(2000, 3)
	verdicts(d, points)
	before := state(t, d)
	for _, i := range []int{0, 700, 1999} {
		p := points[i]
		p.Value += 1e6
		mark := anomaly.Verdict{Value: -1}
		if v := mark; d.Step(p, &v) || v != mark {
			t.Errorf("Step of point %d again = true or a verdict %+v, want refused", i, v)
		}
	}
	if !bytes.Equal(before, state(t, d)) {
		t.Error("a refused point changed the state")
	}
	d.Step(anomaly.Point{At: points[1999].At + minute, Value: 40}, new(anomaly.Verdict))
	if bytes.Equal(before, state(t, d)) {
		t.Error("an accepted point did not change the state: the comparison above proves nothing")
	}
}

func (s suite) notFinite(t *testing.T) {
	for _, n := range []int{0, 5, 2000} {
		d := s.fresh()
		verdicts(d, habit(2000, 4)[:n])
		before := state(t, d)
		for _, x := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
			if d.Step(anomaly.Point{At: 5000 * minute, Value: x}, new(anomaly.Verdict)) {
				t.Errorf("after %d points: Step(%v) = true, want refused", n, x)
			}
		}
		if !bytes.Equal(before, state(t, d)) {
			t.Errorf("after %d points: a refused point changed the state", n)
		}
	}
}

func (s suite) saved(t *testing.T) {
	points := eventful(3000, 5)
	want := verdicts(s.fresh(), points)
	for _, cut := range []int{0, 1, 10, 29, 30, 31, 500, 1001, 1500, 2255} {
		first, second := s.fresh(), s.fresh()
		verdicts(first, points[:cut])
		if err := second.Restore(state(t, first)); err != nil {
			t.Fatalf("Restore after %d points = %v, want no error", cut, err)
		}
		for i, v := range verdicts(second, points[cut:]) {
			if v != want[cut+i] {
				t.Fatalf("restored after %d points, point %d: Step = %+v, want %+v", cut, cut+i, v, want[cut+i])
			}
		}
	}
}

func (s suite) repeated(t *testing.T) {
	points := eventful(3000, 6)
	a, b := s.fresh(), s.fresh()
	va, vb := verdicts(a, points), verdicts(b, points)
	for i := range va {
		if va[i] != vb[i] {
			t.Fatalf("point %d: Step = %+v and %+v, want the same", i, va[i], vb[i])
		}
	}
	if !bytes.Equal(state(t, a), state(t, b)) {
		t.Error("the same points left two states")
	}
}

func (s suite) causal(t *testing.T) {
	points := eventful(3000, 8)
	want := verdicts(s.fresh(), points)
	for _, n := range []int{1, 40, 1001, 2251} {
		changed := append([]anomaly.Point(nil), points...)
		for i := n; i < len(changed); i++ {
			changed[i].Value = -1e9
		}
		for i, v := range verdicts(s.fresh(), changed)[:n] {
			if v != want[i] {
				t.Fatalf("future changed from point %d: verdict %d = %+v, want %+v", n, i, v, want[i])
			}
		}
	}
}

func (s suite) warmUp(t *testing.T) {
	for _, step := range []int64{1e9, 10e9, minute} {
		d := s.fresh()
		last := uint32(math.MaxUint32)
		for i := range 5000 {
			p := anomaly.Point{At: int64(i+1) * step, Value: float64(i%2) * float64(i*i)}
			var v anomaly.Verdict
			d.Step(p, &v)
			if v.State != anomaly.Warmup {
				if i < 10 {
					t.Errorf("every %d s: warm-up ends after %d points, want at least 10", step/1e9, i)
				}
				break
			}
			if v.Alarm || v.Score != 0 {
				t.Fatalf("every %d s, point %d: Step = %+v, want score 0 in warm-up", step/1e9, i, v)
			}
			if v.Need > last {
				t.Fatalf("every %d s, point %d: needs %d more points, had said %d", step/1e9, i, v.Need, last)
			}
			if last = v.Need; i == 4999 {
				t.Errorf("every %d s: still in warm-up after 5000 points", step/1e9)
			}
		}
	}
}

func (s suite) gap(t *testing.T) {
	for _, length := range []int64{10, 60, 1440, 14400, 144000} {
		points := habit(4320, 9)
		for i := 2000; i < len(points); i++ {
			points[i].At += length * minute
		}
		// The wave goes on where it was: only time is missing.
		if got := alarms(verdicts(s.fresh(), points)); len(got) > 0 {
			t.Errorf("gap of %d minutes at point 2000: alarms at %v, want none", length, got)
		}
	}
	spike := habit(4320, 9)
	spike[2400].Value += 60
	if got := alarms(verdicts(s.fresh(), spike)); len(got) != 1 {
		t.Errorf("control without a gap, spike at point 2400: alarms at %v, want one", got)
	}
}

func (s suite) shift(t *testing.T) {
	for _, by := range []float64{45, -35} {
		points := within(anomaly.Range{Max: 100}, habit(4320, 10))
		for i := 2000; i < len(points); i++ {
			points[i].Value += by
		}
		vs := verdicts(s.fresh(), points)
		if got := alarms(vs); len(got) != 1 || got[0] < 2000 || got[0] > 2005 {
			t.Errorf("level shift of %+v at point 2000: alarms at %v, want one at 2000", by, got)
		}
		if v := vs[len(vs)-1]; v.State != anomaly.Normal || v.Score > 0.4 {
			t.Errorf("long after a level shift of %+v: Step = %+v, want normal", by, v)
		}
	}
}

func (s suite) episode(t *testing.T) {
	points := within(anomaly.Range{Max: 100}, habit(2000, 11))
	for i := 1000; i < 1006; i++ {
		points[i].Value = 97
	}
	vs := verdicts(s.fresh(), points)
	if got := alarms(vs); len(got) != 1 || got[0] != 1000 {
		t.Errorf("six points at 97: alarms at %v, want one at 1000", got)
	}
	if v := vs[1003]; v.State != anomaly.Anomaly || v.Score < 0.5 || v.EpisodeStart != points[1000].At {
		t.Errorf("in the episode: Step = %+v, want an anomaly since point 1000", v)
	}
	ended := -1
	for i := 1006; i < 1030 && ended < 0; i++ {
		if vs[i].Cause == anomaly.Recovered {
			ended = i
		}
	}
	if ended < 0 || vs[ended].State != anomaly.Normal || vs[ended].EpisodeStart != points[1000].At {
		t.Errorf("after the episode: no verdict says that it recovered, want one within 24 points")
	}
}

func (s suite) size(t *testing.T) {
	d := s.fresh()
	empty := len(state(t, d))
	verdicts(d, eventful(5000, 12))
	if got := len(state(t, d)); got != empty || got > MaxBytes {
		t.Errorf("state has %d bytes when fresh and %d after 5000 points, want the same and at most %d", empty, got, MaxBytes)
	}
}

func (s suite) foreign(t *testing.T) {
	d := s.fresh()
	verdicts(d, habit(100, 13))
	before := state(t, d)
	for _, b := range [][]byte{nil, {1}, before[:len(before)-1], append(bytes.Clone(before), 0)} {
		if err := d.Restore(b); err == nil {
			t.Errorf("Restore of %d bytes = no error, want one", len(b))
		}
	}
	if !bytes.Equal(before, state(t, d)) {
		t.Error("a refused Restore changed the state")
	}
}

func (s suite) allocations(t *testing.T) {
	d := s.fresh()
	points := eventful(6000, 14)
	var v anomaly.Verdict
	i := 0
	if n := testing.AllocsPerRun(5000, func() { d.Step(points[i], &v); i++ }); n != 0 {
		t.Errorf("Step allocates %v times a point, want 0", n)
	}
}
