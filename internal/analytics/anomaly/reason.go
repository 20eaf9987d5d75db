package anomaly

import (
	"fmt"
	"math"
	"strconv"
	"time"
)

// Reason says in one line and plain words why the verdict is what it is. unit
// may be empty. It allocates: call it when somebody will read it.
func (v *Verdict) Reason(unit string, at int64) string {
	band := "expected " + Quantity(v.ExpLow, "") + ".." + Quantity(v.ExpHigh, unit)
	now := Quantity(v.Value, unit)
	switch v.Cause {
	case Learning:
		if v.Need == 0 {
			return "learning what is usual"
		}
		return fmt.Sprintf("learning what is usual: %d more samples needed", v.Need)
	case Resuming:
		return "data resumed after a gap: no alarm for a short while"
	case High:
		return fmt.Sprintf("%s is far above the usual %s; %s", now, Quantity(v.Typical, unit), band)
	case Low:
		return fmt.Sprintf("%s is far below the usual %s; %s", now, Quantity(v.Typical, unit), band)
	case Jump:
		return fmt.Sprintf("%s changed far more than from one sample to the next is usual; %s", now, band)
	case Recovered:
		return fmt.Sprintf("back to %s after %s; %s", now, v.lasted(at), band)
	case NewLevel:
		return fmt.Sprintf("stayed away for %s: about %s is the new normal", v.lasted(at), Quantity(v.Typical, unit))
	}
	return now + ", " + band
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
