package analytics

import (
	"strings"

	"github.com/novacron/terraform-provider-novacron/internal/analytics/anomaly"
	"github.com/novacron/terraform-provider-novacron/internal/sample"
)

// series is one field of one tag set and what the engine knows about it. Series
// form a ring from the longest idle to the one touched last.
type series struct {
	key      string
	rule     *Rule
	detector anomaly.Detector

	last     int64         // time of the last point
	interval int64         // typical time between points
	sent     int64         // time of the last verdict that was emitted
	state    anomaly.State // as last emitted
	alarmed  bool          // the open episode raised an alarm
	late     uint32        // points from long before last, in a row

	before, after *series
}

// ring is the series in the order in which they were touched. The zero value is
// not ready: use newRing.
type ring struct{ root series }

func newRing() *ring {
	r := &ring{}
	r.root.before, r.root.after = &r.root, &r.root
	return r
}

// oldest returns the series that was touched longest ago, nil when there is none.
func (r *ring) oldest() *series { return r.next(&r.root) }

// next returns the series touched after s, nil when s is the last.
func (r *ring) next(s *series) *series {
	if s.after == &r.root {
		return nil
	}
	return s.after
}

// touch makes s the one touched last, whether or not it is in the ring.
func (r *ring) touch(s *series) {
	if s.after != nil {
		r.remove(s)
	}
	s.before, s.after = r.root.before, &r.root
	s.before.after, s.after.before = s, s
}

func (r *ring) remove(s *series) {
	s.before.after, s.after.before = s.after, s.before
	s.before, s.after = nil, nil
}

// pace takes the time of a newer point into account.
func (s *series) pace(at int64) {
	if s.last != 0 {
		d := at - s.last
		switch {
		case s.interval == 0 || d < s.interval:
			s.interval = d
		default:
			s.interval += min(d-s.interval, s.interval) / 8
		}
	}
	s.last, s.late = at, 0
}

// parts takes a series key apart. The strings share the key's memory.
func parts(key string) (measurement string, tags []sample.Tag, field string) {
	key, field, _ = strings.Cut(key, "\x02")
	measurement, rest, more := strings.Cut(key, "\x00")
	for more {
		var tag string
		tag, rest, more = strings.Cut(rest, "\x00")
		k, v, _ := strings.Cut(tag, "\x01")
		tags = append(tags, sample.Tag{Key: k, Value: v})
	}
	return measurement, tags, field
}
