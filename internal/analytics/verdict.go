package analytics

import (
	"strings"
	"time"

	"github.com/novacron/terraform-provider-novacron/internal/analytics/anomaly"
	"github.com/novacron/terraform-provider-novacron/internal/sample"
)

// verdictTags returns the tags of a series' verdicts: its own, and measurement
// and field. A series that has such tags itself loses them.
func verdictTags(measurement string, tags []sample.Tag, field string) []sample.Tag {
	out := make([]sample.Tag, 0, len(tags)+2)
	for _, t := range tags {
		if t.Key != "measurement" && t.Key != "field" {
			out = append(out, t)
		}
	}
	out = append(out, sample.Tag{Key: "measurement", Value: measurement}, sample.Tag{Key: "field", Value: field})
	return sample.SortTags(out)
}

// verdictSample returns the sample that tells the verdict on a field of s. They
// share no slice.
func verdictSample(s *sample.Sample, field string, r *Rule, v *anomaly.Verdict) sample.Sample {
	return sample.Sample{
		Name: MeasurementAnomaly,
		Time: s.Time,
		Tags: verdictTags(s.Name, s.Tags, field),
		Fields: []sample.Field{
			{Key: "alarm", Value: v.Alarm},
			{Key: "expected_high", Value: v.ExpHigh},
			{Key: "expected_low", Value: v.ExpLow},
			{Key: "reason", Value: v.Reason(r.Unit, s.Time.UnixNano())},
			{Key: "score", Value: v.Score},
			{Key: "state", Value: v.State.String()},
			{Key: "value", Value: v.Value},
		},
	}
}

// missingSample returns the sample that tells that a series stopped.
func missingSample(one *series, now int64) sample.Sample {
	measurement, tags, field := parts(one.key)
	return sample.Sample{
		Name: MeasurementAnomaly,
		Time: time.Unix(0, now).UTC(),
		Tags: verdictTags(measurement, tags, field),
		Fields: []sample.Field{
			{Key: "alarm", Value: false},
			{Key: "reason", Value: "no data for " + time.Duration(now-one.last).Round(time.Second).String()},
			{Key: "score", Value: 0.0},
			{Key: "state", Value: anomaly.Missing.String()},
		},
	}
}

// tell passes a line for people on: whom it is about, what, and why.
func (e *Engine) tell(t Turn, s *sample.Sample, r *Rule, v *anomaly.Verdict) {
	if e.o.Tell == nil {
		return
	}
	var who []string
	for _, key := range []string{"domain", "device", "vcpu"} {
		if name := s.Tag(key); name != "" {
			who = append(who, name)
		}
	}
	if s.Tag("domain") == "" && s.Tag("host") != "" {
		who = append([]string{s.Tag("host")}, who...)
	}
	e.o.Tell(t, strings.Join(append(who, r.Title, v.Reason(r.Unit, s.Time.UnixNano())), " "))
}
