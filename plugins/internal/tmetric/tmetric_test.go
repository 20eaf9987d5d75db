package tmetric

import (
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/influxdata/telegraf"
	"github.com/influxdata/telegraf/metric"

	"github.com/novacron/terraform-provider-novacron/internal/sample"
)

var at = time.Unix(1_700_000_000, 123_456_789).UTC()

func disk() sample.Sample {
	return sample.Sample{
		Name: "novacron_block", Time: at, Type: sample.Counter,
		Tags: []sample.Tag{{Key: "device", Value: "vda"}, {Key: "domain", Value: "web 1"}, {Key: "host", Value: "h"}},
		Fields: []sample.Field{
			{Key: "rd_bytes", Value: uint64(math.MaxUint64)}, {Key: "balance", Value: int64(-3)},
			{Key: "latency_ms", Value: 1.5}, {Key: "up", Value: true}, {Key: "state", Value: "running"},
		},
	}
}

func TestASampleSurvivesTheWayThereAndBack(t *testing.T) {
	for _, typ := range []sample.Type{sample.Gauge, sample.Counter} {
		want := disk()
		want.Type = typ
		var got sample.Sample
		Sample(&got, Metric(&want))
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("type %d: Sample(Metric(s)) differs (-want +got):\n%s", typ, diff)
		}
	}
}

func TestTelegrafTypesBecomeOurs(t *testing.T) {
	for from, want := range map[telegraf.ValueType]sample.Type{
		telegraf.Counter: sample.Counter, telegraf.Gauge: sample.Gauge, telegraf.Untyped: sample.Gauge,
		telegraf.Summary: sample.Gauge, telegraf.Histogram: sample.Gauge,
	} {
		var got sample.Sample
		Sample(&got, metric.New("m", nil, map[string]any{"v": 1}, at, from))
		if got.Type != want {
			t.Errorf("Sample of Telegraf type %v is %v, want %v", from, got.Type, want)
		}
	}
	s := disk()
	if m := Metric(&s); m.Type() != telegraf.Counter {
		t.Errorf("Metric of a counter has type %v, want %v", m.Type(), telegraf.Counter)
	}
	s.Type = sample.Gauge
	if m := Metric(&s); m.Type() != telegraf.Gauge {
		t.Errorf("Metric of a gauge has type %v, want %v", m.Type(), telegraf.Gauge)
	}
}

// oddMetric is a metric as a careless plugin could make it.
type oddMetric struct {
	telegraf.Metric
	tags   []*telegraf.Tag
	fields []*telegraf.Field
}

func (m oddMetric) TagList() []*telegraf.Tag     { return m.tags }
func (m oddMetric) FieldList() []*telegraf.Field { return m.fields }

func TestSampleMendsWhatOthersBroke(t *testing.T) {
	m := oddMetric{
		Metric: metric.New("m", nil, nil, at),
		tags:   []*telegraf.Tag{{Key: "b", Value: "2"}, {Key: "a", Value: "1"}, {Key: "c", Value: ""}, {Key: "b", Value: "later"}},
		fields: []*telegraf.Field{{Key: "nil", Value: nil}, {Key: "slice", Value: []int{1}}, {Key: "v", Value: int64(1)}},
	}
	want := sample.Sample{
		Name: "m", Time: at, Tags: []sample.Tag{{Key: "a", Value: "1"}, {Key: "b", Value: "2"}},
		Fields: []sample.Field{{Key: "v", Value: int64(1)}},
	}
	var got sample.Sample
	Sample(&got, m)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Sample differs (-want +got):\n%s", diff)
	}
}

func TestMetricLeavesOutWhatASampleCannotHold(t *testing.T) {
	s := disk()
	s.Fields = []sample.Field{{Key: "chan", Value: make(chan int)}, {Key: "v", Value: 1.0}}
	if got, want := Metric(&s).Fields(), map[string]any{"v": 1.0}; !cmp.Equal(got, want) {
		t.Errorf("Metric has fields %v, want %v", got, want)
	}
}

func TestAMetricDoesNotShareTheSamplesSlices(t *testing.T) {
	s := disk()
	m := Metric(&s)
	s.Tags[0].Value, s.Fields[0].Value = "changed", "changed"
	if m.Tags()["device"] != "vda" || m.Fields()["rd_bytes"] != uint64(math.MaxUint64) {
		t.Errorf("the metric changed with the sample: %v", m)
	}
}

func TestAReusedSampleForgetsTheLastMetricAndAllocatesNothing(t *testing.T) {
	s := disk()
	big, small := Metric(&s), metric.New("m", map[string]string{"host": "h"}, map[string]any{"v": 1}, at)
	var dst sample.Sample
	Sample(&dst, big)
	Sample(&dst, small)
	if len(dst.Tags) != 1 || len(dst.Fields) != 1 || dst.Name != "m" {
		t.Errorf("Sample into a used sample = %+v, want only the second metric", dst)
	}
	if n := testing.AllocsPerRun(100, func() { Sample(&dst, big) }); n != 0 {
		t.Errorf("Sample into a used sample allocates %v times, want 0", n)
	}
}

func BenchmarkMetric(b *testing.B) {
	s := disk()
	b.ReportAllocs()
	for b.Loop() {
		Metric(&s)
	}
}

func BenchmarkSample(b *testing.B) {
	s := disk()
	m := Metric(&s)
	var dst sample.Sample
	b.ReportAllocs()
	for b.Loop() {
		Sample(&dst, m)
	}
}
