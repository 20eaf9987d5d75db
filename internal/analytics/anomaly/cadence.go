package anomaly

// cadence follows the interval at which points arrive and tells gaps. Intervals
// are in seconds. The zero value has seen nothing.
type cadence struct {
	Last     int64   // time of the last point
	Interval float64 // typical interval; 0 until there are two points
	Long     uint32  // intervals in a row that looked like gaps
}

const (
	gapFactor  = 5 // a gap is this many intervals
	newCadence = 5 // so many "gaps" in a row are a new, slower cadence
)

// next takes the time of a point that is newer than Last. gap is true when data
// were missing before it.
func (c *cadence) next(at int64) (gap bool) {
	last := c.Last
	c.Last = at
	if last == 0 {
		return false
	}
	dt := float64(at-last) / 1e9
	if c.Interval == 0 {
		c.Interval = dt
		return false
	}
	if dt > gapFactor*c.Interval {
		c.Long++
		if c.Long >= newCadence {
			c.Interval, c.Long = dt, 0
		}
		return true
	}
	c.Long = 0
	if dt < c.Interval/2 {
		c.Interval += (dt - c.Interval) / 2
	} else {
		c.Interval += (dt - c.Interval) / 16
	}
	return false
}
