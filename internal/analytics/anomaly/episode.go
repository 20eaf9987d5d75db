package anomaly

import "math"

// opening is a point that may open an episode.
type opening struct {
	at              int64
	nats, news, sum float64
	r               [5]float64
	away            bool // outside the expected range
	cause           Cause
}

// suspicion is a stretch of a fast series that has left its expected range but
// is not yet proven to be an episode. Nothing is learned from it meanwhile. The
// zero value suspects nothing.
type suspicion struct {
	Since    int64
	Seen     uint32 // points
	Away     uint32 // of them outside the expected range
	Calm     uint32 // in a row inside it, at the end
	Evidence float64
}

// excused reports whether a surprise has an innocent reason: data resumed a
// moment ago, or the start-up activity of a young series dies down. Its score
// stays below the threshold.
func (s *tailState) excused(o *opening, up bool, v *Verdict) bool {
	if !o.away && o.nats <= s.Scales.Alarm {
		return false
	}
	switch {
	case o.at < s.GraceTo:
		v.Cause = Resuming
	case !up && s.young(o.at) && s.Suspect.Away == 0:
		v.Cause = Learning
	default:
		return false
	}
	v.Score = math.Min(v.Score, 0.49)
	return true
}

func (s *tailState) young(at int64) bool {
	return s.Scales.For < warmupSeconds && at-s.BornAt < youthSeconds*1e9
}

// suspected decides what a point means for an episode to come: it opens one, or
// adds to a suspicion. It reports whether the point must not be learned.
func (s *tailState) suspected(o *opening, v *Verdict) bool {
	need := steps(confirmSecs, s.Scales.For, 1, 3)
	if need == 1 {
		if o.nats > s.Scales.Alarm {
			s.open(o, suspicion{Since: o.at, Seen: 1}, v)
			return true
		}
		return false
	}
	u := &s.Suspect
	if u.Away == 0 && !o.away {
		return false
	}
	v.Score = math.Min(v.Score, 0.49)
	if u.Away == 0 {
		u.Since = o.at
	}
	if o.sum > s.OpeningSum || u.Away == 0 {
		s.Opening, s.OpeningSum = o.r, o.sum
	}
	u.Seen++
	u.Evidence = math.Max(0, u.Evidence+o.nats-s.Scales.Alarm/3)
	if o.away {
		u.Away, u.Calm = u.Away+1, 0
	} else {
		u.Calm++
	}
	switch {
	case o.away && u.Away >= need && u.Evidence > s.Scales.Alarm:
		s.open(o, *u, v)
	case u.Calm >= steps(calmSecs, s.Scales.For, 2, 5) || u.Seen >= doubtPoints:
		s.Suspect = suspicion{}
		s.learnTails(&s.Opening, s.OpeningSum)
	}
	return true
}

// open begins an episode. The same again within the refractory is an episode
// without an alarm.
func (s *tailState) open(o *opening, u suspicion, v *Verdict) {
	if u.Evidence == 0 {
		s.Opening, s.OpeningSum = o.r, o.sum
	}
	nats := math.Max(o.nats, u.Evidence)
	news := math.Max(o.news, u.Evidence-s.Refract)
	s.Suspect = suspicion{}
	s.State, s.EpisodeAt, s.EpisodeSeen, s.Calm = Anomaly, u.Since, u.Seen, 0
	v.State, v.Alarm, v.EpisodeStart, v.Cause = Anomaly, news > s.Scales.Alarm, u.Since, o.cause
	v.Score = squash(nats, s.Scales.Alarm)
	s.Refract = math.Max(s.Refract, math.Min(nats, 2*s.Scales.Alarm))
}

func cause(view int, up bool) Cause {
	switch {
	case view >= 3:
		return Jump
	case up:
		return High
	}
	return Low
}

// steps returns how many points cover the seconds, within low..high.
func steps(seconds, interval float64, low, high uint32) uint32 {
	if interval <= 0 {
		return low
	}
	return uint32(math.Max(float64(low), math.Min(float64(high), math.Ceil(seconds/interval))))
}

// episode moves an open episode on. The baseline is frozen meanwhile: it ends
// when the series is back in its expected range, or when it has stayed away for
// so long that where it is becomes the baseline.
func (s *tailState) episode(p Point, floor float64, v *Verdict, up bool) {
	s.EpisodeSeen++
	v.State, v.EpisodeStart, v.Cause = Anomaly, s.EpisodeAt, cause(0, up)
	low, high := s.expected(p.Range, floor)
	if p.Value < low || p.Value > high {
		s.Calm = 0
	} else {
		s.Calm++
	}
	if s.Calm >= steps(calmSecs, s.Scales.For, 2, 5) {
		s.State, v.State, v.Cause = Normal, Normal, Recovered
		s.learnTails(&s.Opening, s.OpeningSum)
		s.learn(p.Value, floor)
		return
	}
	if s.EpisodeSeen >= adoptPoints && p.At-s.EpisodeAt >= adoptSeconds*1e9 {
		s.State, v.State, v.Cause = Normal, Normal, NewLevel
		s.learnTails(&s.Opening, s.OpeningSum)
		s.rebase()
		v.Typical = s.Level[0].Level
	}
}
