package anomaly

import (
	"fmt"
	"math"
	"strconv"
	"time"
)

// Reason says in one line and plain words what was seen, what was expected and
// why the verdict is what it is. unit may be empty; at is the time of the point.
// It allocates: call it when somebody will read it.
func (v *Verdict) Reason(unit string, at int64) string {
	seen := Quantity(v.Value, unit)
	if v.State != Warmup {
		seen += ", expected " + Quantity(v.ExpLow, "") + ".." + Quantity(v.ExpHigh, unit)
	}
	if why := v.why(unit, at); why != "" {
		return seen + ": " + why
	}
	return seen
}

func (v *Verdict) why(unit string, at int64) string {
	switch cause := v.Cause; {
	case cause == High && v.Value < v.Typical, cause == Low && v.Value > v.Typical:
		// The evidence is a step that leads back towards the usual, and the value
		// is not there yet.
		return "changed far more than is usual from one sample to the next"
	}
	switch v.Cause {
	case Learning:
		if v.Need > 0 {
			return fmt.Sprintf("learning what is usual, %d more samples needed", v.Need)
		}
		return "start-up activity settles"
	case Resuming:
		return "data resumed after a gap, no alarm for a short while"
	case High:
		return "far above the usual " + Quantity(v.Typical, unit)
	case Low:
		return "far below the usual " + Quantity(v.Typical, unit)
	case Jump:
		return "changed far more than is usual from one sample to the next"
	case Recovered:
		return fmt.Sprintf("back to the usual after %s", v.lasted(at))
	case NewLevel:
		return fmt.Sprintf("stayed away for %s, about %s is the new usual", v.lasted(at), Quantity(v.Typical, unit))
	}
	return ""
}

func (v *Verdict) lasted(at int64) time.Duration {
	if v.EpisodeStart == 0 || at < v.EpisodeStart {
		return 0
	}
	return time.Duration(at - v.EpisodeStart).Round(time.Second)
}

// Quantity writes a number as people read it: about three digits, with the unit.
func Quantity(x float64, unit string) string {
	if unit != "" {
		unit = " " + unit
	}
	a := math.Abs(x)
	switch {
	case a >= 1e15 || (a > 0 && a < 1e-3):
		return strconv.FormatFloat(x, 'g', 3, 64) + unit
	case a >= 1e9:
		return trim(x/1e9, 2) + " G" + suffix(unit)
	case a >= 1e6:
		return trim(x/1e6, 2) + " M" + suffix(unit)
	case a >= 1e4:
		return trim(x/1e3, 1) + " k" + suffix(unit)
	case a >= 100:
		return trim(x, 0) + unit
	case a >= 1:
		return trim(x, 1) + unit
	}
	return trim(x, 3) + unit
}

// suffix joins a unit to an SI prefix: " B/s" after " M" becomes "B/s".
func suffix(unit string) string {
	if unit == "" {
		return ""
	}
	return unit[1:]
}

func trim(x float64, digits int) string {
	s := strconv.FormatFloat(x, 'f', digits, 64)
	if digits == 0 {
		return s
	}
	for s[len(s)-1] == '0' {
		s = s[:len(s)-1]
	}
	if s[len(s)-1] == '.' {
		s = s[:len(s)-1]
	}
	if s == "-0" {
		return "0"
	}
	return s
}
