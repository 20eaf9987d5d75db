package analytics_test

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/novacron/terraform-provider-novacron/internal/analytics"
	"github.com/novacron/terraform-provider-novacron/internal/fault"
	"github.com/novacron/terraform-provider-novacron/internal/sample"
)

var start = time.Unix(1_700_000_000, 0).UTC()

func newEngine(t testing.TB, o analytics.Options) *analytics.Engine {
	t.Helper()
	e, err := analytics.New(o)
	if err != nil {
		t.Fatalf("New(%+v) = %v, want no error", o, err)
	}
	return e
}

// cpu is a sample as inputs.novacron makes it.
func cpu(domain string, second int, usage float64) sample.Sample {
	return sample.Sample{
		Name: "novacron_cpu", Time: start.Add(time.Duration(second) * time.Second),
		Tags:   []sample.Tag{{Key: "domain", Value: domain}, {Key: "host", Value: "kvm1"}, {Key: "uuid", Value: "u-" + domain}},
		Fields: []sample.Field{{Key: "usage_percent", Value: usage}, {Key: "vcpus", Value: uint64(1)}},
	}
}

// twoGuests are web-1, which burns CPU from second 60 to 89, and web-2, which
// idles with a blip now and then.
func twoGuests(seconds int) (out []sample.Sample) {
	r := rand.New(rand.NewPCG(1, 1))
	for i := range seconds {
		busy := 1.5 + 0.5*r.NormFloat64()
		if i >= 60 && i < 90 {
			busy = 98 + r.Float64()
		}
		idle := 1.5 + 0.5*r.NormFloat64()
		if i%40 == 39 {
			idle += 4
		}
		out = append(out, cpu("web-1", i, busy), cpu("web-2", i, idle))
	}
	return out
}

func process(e *analytics.Engine, samples []sample.Sample) (out []sample.Sample) {
	for i := range samples {
		e.Process(&samples[i], func(s sample.Sample) { out = append(out, s) })
	}
	return out
}

// verdicts are the novacron_anomaly samples of a domain.
func verdicts(samples []sample.Sample, domain string) (out []sample.Sample) {
	for _, s := range samples {
		if s.Name == analytics.MeasurementAnomaly && s.Tag("domain") == domain {
			out = append(out, s)
		}
	}
	return out
}

func field(s sample.Sample, key string) any {
	for _, f := range s.Fields {
		if f.Key == key {
			return f.Value
		}
	}
	return nil
}

func states(samples []sample.Sample) (out []string) {
	for _, s := range samples {
		if st := field(s, "state").(string); len(out) == 0 || out[len(out)-1] != st {
			out = append(out, st)
		}
	}
	return out
}

func TestTheGuestThatBurnsIsToldAndItsNeighbourIsNot(t *testing.T) {
	var lines []string
	var turns []analytics.Turn
	e := newEngine(t, analytics.Options{Tell: func(t analytics.Turn, l string) { lines, turns = append(lines, l), append(turns, t) }})
	out := process(e, twoGuests(600))
	if got, want := states(verdicts(out, "web-1")), []string{"warmup", "normal", "anomaly", "normal"}; !cmp.Equal(got, want) {
		t.Errorf("states of web-1 = %v, want %v", got, want)
	}
	if got, want := states(verdicts(out, "web-2")), []string{"warmup", "normal"}; !cmp.Equal(got, want) {
		t.Errorf("states of web-2 = %v, want %v", got, want)
	}
	var alarms []sample.Sample
	for _, s := range out {
		if field(s, "alarm") == true {
			alarms = append(alarms, s)
		}
	}
	if len(alarms) != 1 || alarms[0].Tag("domain") != "web-1" || alarms[0].Tag("measurement") != "novacron_cpu" || alarms[0].Tag("field") != "usage_percent" {
		t.Fatalf("alarms = %v, want one, of web-1's novacron_cpu usage_percent", alarms)
	}
	if late := alarms[0].Time.Sub(start) - 60*time.Second; late < 0 || late > 5*time.Second {
		t.Errorf("the alarm comes %v after the guest went wild, want within 5 s", late)
	}
	if len(lines) != 2 || !strings.HasPrefix(lines[0], "web-1 cpu usage 98.") || !strings.Contains(lines[0], "far above the usual") ||
		!strings.HasPrefix(lines[1], "web-1 cpu usage") || !strings.Contains(lines[1], "back to the usual after") {
		t.Errorf("told %q, want a line for the start and one for the end", lines)
	}
	if want := []analytics.Turn{analytics.Starts, analytics.Ends}; !cmp.Equal(turns, want) {
		t.Errorf("told turns %v, want %v", turns, want)
	}
}

func TestVerdictFieldsKeepNamesAndTypes(t *testing.T) {
	want := map[string]string{
		"alarm": "bool", "expected_high": "float64", "expected_low": "float64", "reason": "string",
		"score": "float64", "state": "string", "value": "float64",
	}
	for _, s := range process(newEngine(t, analytics.Options{Report: analytics.ReportAll}), twoGuests(200)) {
		if s.Name != analytics.MeasurementAnomaly {
			continue
		}
		got := map[string]string{}
		for _, f := range s.Fields {
			got[f.Key] = fmt.Sprintf("%T", f.Value)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("fields of %v (-want +got):\n%s", s, diff)
		}
		if x := field(s, "score").(float64); !(x >= 0 && x <= 1) {
			t.Fatalf("score of %v = %v, want 0..1", s, x)
		}
	}
}

func TestWhatIsScored(t *testing.T) {
	one := func(name string, typ sample.Type, key string, v any) sample.Sample {
		return sample.Sample{Name: name, Time: start, Type: typ, Fields: []sample.Field{{Key: key, Value: v}}}
	}
	user := []analytics.Rule{{Measurement: "*", Field: "*"}}
	for _, c := range []struct {
		name  string
		rules []analytics.Rule
		s     sample.Sample
		want  uint64
	}{
		{"a gauge of ours", nil, one("novacron_cpu", sample.Gauge, "usage_percent", 1.0), 1},
		{"either direction of a disk", nil, one("novacron_block", sample.Gauge, "wr_bytes_per_sec", 1.0), 1},
		{"a size that no rule chooses", nil, one("novacron_block", sample.Gauge, "capacity_bytes", uint64(1)), 0},
		{"a metric of somebody else", nil, one("mem", sample.Gauge, "used_percent", 1.0), 0},
		{"a counter is not scored raw", user, one("mem", sample.Counter, "faults", uint64(1)), 0},
		{"an integer the user chose", user, one("mem", sample.Gauge, "used", int64(1)), 1},
		{"a verdict of ours is not judged again", user, one(analytics.MeasurementAnomaly, sample.Gauge, "score", 1.0), 0},
		{"our health is not judged", user, one(analytics.MeasurementEngine, sample.Gauge, "series", 1.0), 0},
	} {
		e := newEngine(t, analytics.Options{Rules: c.rules})
		process(e, []sample.Sample{c.s})
		if got := e.Stats().Points; got != c.want {
			t.Errorf("%s: %d points judged, want %d", c.name, got, c.want)
		}
	}
}

func TestRefusedPointsAreCountedAndChangeNothing(t *testing.T) {
	clean := twoGuests(300)
	var dirty []sample.Sample
	for i, s := range clean {
		dirty = append(dirty, s)
		if i < 100 || i%10 != 0 {
			continue
		}
		again, late := s, cpu(s.Tag("domain"), 3, 100)
		nan, inf, text := s, s, s
		again.Fields = []sample.Field{{Key: "usage_percent", Value: 100.0}}
		nan.Fields = []sample.Field{{Key: "usage_percent", Value: math.NaN()}}
		inf.Fields = []sample.Field{{Key: "usage_percent", Value: math.Inf(-1)}}
		text.Fields = []sample.Field{{Key: "usage_percent", Value: "many"}}
		dirty = append(dirty, again, late, nan, inf, text)
	}
	a, b := newEngine(t, analytics.Options{}), newEngine(t, analytics.Options{})
	want, got := process(a, clean), process(b, dirty)
	for _, d := range []string{"web-1", "web-2"} {
		if diff := cmp.Diff(verdicts(want, d), verdicts(got, d)); diff != "" {
			t.Errorf("verdicts on %s change with refused points (-clean +dirty):\n%s", d, diff)
		}
	}
	s := b.Stats()
	if s.Duplicates != 50 || s.Late != 50 || s.Invalid != 150 || s.Points != a.Stats().Points {
		t.Errorf("Stats = %+v, want 50 duplicates, 50 late, 150 invalid and %d points", s, a.Stats().Points)
	}
}

func TestTheLongestIdleSeriesIsEvicted(t *testing.T) {
	e := newEngine(t, analytics.Options{MaxSeries: 3})
	process(e, []sample.Sample{cpu("a", 0, 1), cpu("b", 0, 1), cpu("c", 0, 1), cpu("a", 1, 1), cpu("d", 1, 1)})
	if s := e.Stats(); s.Series != 3 || s.Evicted != 1 {
		t.Fatalf("Stats = %+v, want 3 series and 1 evicted", s)
	}
	out := process(e, []sample.Sample{cpu("a", 2, 1), cpu("b", 2, 1)})
	need := map[string]string{}
	for _, s := range out {
		need[s.Tag("domain")] = field(s, "reason").(string)
	}
	if !strings.Contains(need["b"], "29 more samples") || need["a"] != "" {
		t.Errorf("verdicts = %v, want b to start anew (it was idle longest) and a to go on", need)
	}
	for i := range 1000 {
		process(e, []sample.Sample{cpu(fmt.Sprint("guest", i), 3, 1)})
	}
	if s := e.Stats(); s.Series != 3 || s.WarmingUp != 3 || s.Evicted != 1002 {
		t.Errorf("after 1000 more guests Stats = %+v, want 3 series, 3 warming up, 1002 evicted", s)
	}
}

func TestMissingDataIsAStateOfItsOwn(t *testing.T) {
	var in []sample.Sample
	for i := range 400 {
		in = append(in, cpu("web-1", i, 2+float64(i%3)))
		if i < 100 || i >= 300 {
			in = append(in, cpu("web-2", i, 2+float64(i%3)))
		}
	}
	e := newEngine(t, analytics.Options{})
	out := process(e, in[:400])
	if s := e.Stats(); s.Missing != 1 {
		t.Errorf("while web-2 is away Stats = %+v, want 1 missing", s)
	}
	out = append(out, process(e, in[400:])...)
	if got, want := states(verdicts(out, "web-2")), []string{"warmup", "normal", "missing", "warmup", "normal"}; !cmp.Equal(got, want) && !cmp.Equal(got, []string{"warmup", "normal", "missing", "normal"}) {
		t.Errorf("states of web-2 = %v, want %v", got, want)
	}
	var missing int
	for _, s := range verdicts(out, "web-2") {
		if field(s, "state") == "missing" {
			missing++
		}
	}
	if s := e.Stats(); missing != 1 || s.Missing != 0 || s.Alarms != 0 {
		t.Errorf("%d missing verdicts, Stats = %+v, want one, and nothing missing nor alarming at the end", missing, s)
	}
}

func TestReportChangesStaysSmallAndLosesNoNews(t *testing.T) {
	all := process(newEngine(t, analytics.Options{Report: analytics.ReportAll}), twoGuests(600))
	few := process(newEngine(t, analytics.Options{}), twoGuests(600))
	if a, f := len(verdicts(all, "web-2")), len(verdicts(few, "web-2")); a != 600 || f > 40 || f < 10 {
		t.Errorf("a quiet series has %d verdicts of all and %d of changes, want 600 and 10 to 40", a, f)
	}
	if diff := cmp.Diff(states(verdicts(all, "web-1")), states(verdicts(few, "web-1"))); diff != "" {
		t.Errorf("states differ between the reports (-all +changes):\n%s", diff)
	}
}

func TestTheRangeCanComeFromAFieldBeside(t *testing.T) {
	flow := func(capacity float64) (alarms uint64) {
		e := newEngine(t, analytics.Options{Rules: []analytics.Rule{{Measurement: "link", Field: "rate", MaxField: "speed"}}})
		for i := range 300 {
			x := 100 + float64(i%5)
			if i >= 200 {
				x = 500
			}
			s := sample.Sample{Name: "link", Time: start.Add(time.Duration(i) * time.Minute), Fields: []sample.Field{
				{Key: "rate", Value: x}, {Key: "speed", Value: capacity}}}
			e.Process(&s, func(sample.Sample) {})
		}
		return e.Stats().Alarms
	}
	if got := flow(1000); got != 1 {
		t.Errorf("100 to 500 on a link of 1000: %d alarms, want 1", got)
	}
	if got := flow(1e6); got != 0 {
		t.Errorf("100 to 500 on a link of 1000000: %d alarms, want 0", got)
	}
}

func TestASampleFromTheFutureDoesNotShutTheOthersOut(t *testing.T) {
	e := newEngine(t, analytics.Options{})
	in := twoGuests(200)
	bad := cpu("web-1", 10*365*86400, 1)
	in = append(in[:100:100], append([]sample.Sample{bad}, in[100:]...)...)
	process(e, in)
	before := e.Stats().Points
	var more []sample.Sample
	for i := 200; i < 400; i++ {
		more = append(more, cpu("web-1", i, 1.5), cpu("web-2", i, 1.5))
	}
	out := process(e, more)
	if got := e.Stats().Points - before; got < 390 {
		t.Errorf("%d of 400 points judged long after a sample from the future, want nearly all", got)
	}
	var health int
	for _, s := range out {
		if s.Name == analytics.MeasurementEngine {
			health++
		}
	}
	if health == 0 {
		t.Error("no health samples after a sample from the future, want them to go on")
	}
}

func TestSamplesAreOnlyRead(t *testing.T) {
	in, want := twoGuests(150), twoGuests(150)
	out := process(newEngine(t, analytics.Options{Report: analytics.ReportAll}), in)
	for _, s := range out { // what was emitted is the receiver's to spoil
		for i := range s.Tags {
			s.Tags[i] = sample.Tag{Key: "spoiled"}
		}
	}
	if diff := cmp.Diff(want, in); diff != "" {
		t.Errorf("Process changed its samples (-want +got):\n%s", diff)
	}
}

func TestTheSameSamplesGiveTheSameVerdicts(t *testing.T) {
	a, b := process(newEngine(t, analytics.Options{}), twoGuests(400)), process(newEngine(t, analytics.Options{}), twoGuests(400))
	if diff := cmp.Diff(a, b); diff != "" {
		t.Errorf("two runs differ:\n%s", diff)
	}
}

func TestHealthIsReported(t *testing.T) {
	tick := start
	e := newEngine(t, analytics.Options{
		Tags:  []sample.Tag{{Key: "agent", Value: "a1"}},
		Clock: func() time.Time { tick = tick.Add(200); return tick },
	})
	var gauges, counters int
	for _, s := range process(e, twoGuests(100)) {
		if s.Name != analytics.MeasurementEngine {
			continue
		}
		if s.Tag("agent") != "a1" {
			t.Errorf("health has the tags %v, want agent=a1", s.Tags)
		}
		if s.Type == sample.Counter {
			counters++
			continue
		}
		gauges++
		if got := field(s, "series"); got != uint64(2) {
			t.Errorf("series = %v, want 2", got)
		}
		if c, ok := field(s, "cost_ns_per_point").(float64); ok && c != 200 {
			t.Errorf("cost_ns_per_point = %v, want 200", c)
		}
	}
	if gauges < 9 || gauges != counters {
		t.Errorf("%d gauge and %d counter samples in 100 s, want one of each every 10 s", gauges, counters)
	}
}

func TestOptionsThatMakeNoSenseAreRefused(t *testing.T) {
	for name, o := range map[string]analytics.Options{
		"unknown method":    {Method: "crystal-ball"},
		"unknown report":    {Report: "some"},
		"no series":         {MaxSeries: -1},
		"negative rate":     {AlertsPerWeek: -1},
		"health too often":  {HealthInterval: time.Millisecond},
		"heartbeat negated": {Heartbeat: -1},
		"broken pattern":    {Rules: []analytics.Rule{{Measurement: "[", Field: "x"}}},
		"no field":          {Rules: []analytics.Rule{{Measurement: "x"}}},
		"range upside down": {Rules: []analytics.Rule{{Measurement: "x", Field: "y", Min: 2, Max: 1}}},
		"step negative":     {Rules: []analytics.Rule{{Measurement: "x", Field: "y", Step: -1}}},
	} {
		if _, err := analytics.New(o); !errors.Is(err, fault.Invalid) {
			t.Errorf("%s: New = %v, want %v", name, err, fault.Invalid)
		}
	}
}

func TestAPointThatIsNoNewsAllocatesNothing(t *testing.T) {
	e := newEngine(t, analytics.Options{})
	process(e, twoGuests(55))
	s := cpu("web-2", 55, 1.5)
	at := s.Time
	drop := func(sample.Sample) {}
	if n := testing.AllocsPerRun(2000, func() {
		at = at.Add(time.Millisecond)
		s.Time = at
		e.Process(&s, drop)
	}); n != 0 {
		t.Errorf("Process allocates %v times a point, want 0", n)
	}
}

func BenchmarkProcess(b *testing.B) {
	for _, guests := range []int{10, 20_000} {
		b.Run(fmt.Sprintf("%d series", guests), func(b *testing.B) {
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			e := newEngine(b, analytics.Options{})
			in := make([]sample.Sample, guests)
			for i := range in {
				in[i] = cpu(fmt.Sprintf("web-%05d", i), 0, 1)
				in[i].Tags[2].Value = "8d7a1f0e-0c4b-4a53-9a7e-0123456789ab"
			}
			drop := func(sample.Sample) {}
			for i := range in {
				e.Process(&in[i], drop)
			}
			runtime.GC()
			runtime.ReadMemStats(&after)
			fixed := testing.AllocsPerRun(1, func() {})
			r := rand.New(rand.NewPCG(1, 2))
			b.ReportAllocs()
			b.ResetTimer()
			for i := range b.N {
				s := &in[i%guests]
				s.Time = s.Time.Add(10 * time.Second)
				s.Fields[0].Value = noise[r.IntN(len(noise))]
				e.Process(s, drop)
			}
			b.StopTimer()
			if guests > 1000 {
				own := float64(guests) * float64(sampleBytes(in[0]))
				b.ReportMetric((float64(after.HeapAlloc-before.HeapAlloc)-own)/float64(guests)+fixed, "B/series")
			}
			runtime.KeepAlive(e)
		})
	}
}

// noise are boxed values, so that the benchmark itself does not allocate.
var noise = func() (out [64]any) {
	for i := range out {
		out[i] = 20 + float64(i%16)
	}
	return out
}()

// sampleBytes is about what the benchmark's own sample takes on the heap.
func sampleBytes(s sample.Sample) int { return 120 + 32*len(s.Tags) + 32*len(s.Fields) + 48 + 32 }
