package spec

import (
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"
)

// Size is a number of bytes, never negative.
type Size int64

// The binary units.
const (
	KiB Size = 1 << 10
	MiB Size = 1 << 20
	GiB Size = 1 << 30
	TiB Size = 1 << 40
)

// Sector is the unit of disks: they have a whole number of them.
const Sector Size = 512

// units maps a unit as users write it to its size in bytes, longest names first
// where one ends in another.
var units = []struct {
	name string
	size Size
}{
	{"KiB", KiB}, {"MiB", MiB}, {"GiB", GiB}, {"TiB", TiB},
	{"kB", 1e3}, {"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"TB", 1e12},
	{"B", 1},
}

// maxDigits bounds the work for a size that somebody made up.
const maxDigits = 100

// ParseSize reads a size such as "4GiB", "1.5 TiB", "500MB" or "512B". A bare
// number is refused, because every tool of the field means something else by it.
func ParseSize(s string) (Size, error) {
	text := strings.TrimSpace(s)
	for _, u := range units {
		num, ok := strings.CutSuffix(text, u.name)
		if !ok {
			continue
		}
		num = strings.TrimSpace(num)
		if num == "" || len(num) > maxDigits || strings.Trim(num, "0123456789.") != "" {
			break
		}
		v, ok := new(big.Rat).SetString(num) // exact: a float64 loses bytes beyond 8PiB
		if !ok {
			break
		}
		v.Mul(v, new(big.Rat).SetInt64(int64(u.size)))
		switch {
		case !v.IsInt():
			return 0, fmt.Errorf("size %q is not a whole number of bytes", s)
		case !v.Num().IsInt64():
			return 0, fmt.Errorf("size %q is too large", s)
		}
		return Size(v.Num().Int64()), nil
	}
	if text != "" && strings.Trim(text, "0123456789.") == "" {
		return 0, fmt.Errorf("size %q has no unit: write for example %q", s, text+"GiB")
	}
	return 0, fmt.Errorf("size %q is not a number with a unit such as KiB, MiB, GiB, TiB, MB or GB", s)
}

// String returns the size in the largest binary unit that divides it evenly.
func (s Size) String() string {
	for i := 3; i >= 0; i-- {
		if u := units[i]; s >= u.size && s%u.size == 0 {
			return strconv.FormatInt(int64(s/u.size), 10) + u.name
		}
	}
	return strconv.FormatInt(int64(s), 10) + "B"
}

// RoundUp returns the smallest multiple of unit that is at least s, or the largest
// one there is.
func (s Size) RoundUp(unit Size) Size {
	if s > math.MaxInt64-unit {
		return math.MaxInt64 / unit * unit
	}
	return (s + unit - 1) / unit * unit
}
