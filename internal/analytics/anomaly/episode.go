package anomaly

import "math"

// excused reports whether a surprise has an innocent reason: data resumed a
// moment ago, or the start-up activity of a young series dies down. Its score
// stays below the threshold.
func (s *tailState) excused(at int64, up bool, v *Verdict) bool {
	switch {
	case at < s.GraceTo:
		v.Cause = Resuming
	case !up && s.young(at):
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

// surprised counts surprising points in a row and opens an episode when there
// are enough: one point on a slow series, confirmSecs seconds on a fast one.
func (s *tailState) surprised(at int64, nats, news float64, view int, up bool, v *Verdict) {
	if s.Streak == 0 {
		s.StreakAt = at
	}
	s.Streak++
	if s.Streak < steps(confirmSecs, s.Scales.For, 1, 3) {
		v.Score = math.Min(v.Score, 0.49)
		return
	}
	s.State, s.EpisodeAt, s.EpisodeSeen, s.Calm = Anomaly, s.StreakAt, s.Streak, 0
	s.Streak = 0
	v.State, v.Alarm, v.EpisodeStart = Anomaly, news > s.Scales.Alarm, s.EpisodeAt
	v.Score = squash(nats, s.Scales.Alarm)
	s.Refract = math.Max(s.Refract, math.Min(nats, 2*s.Scales.Alarm))
	v.Cause = cause(view, up)
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
