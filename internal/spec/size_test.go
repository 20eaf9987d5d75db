package spec

import (
	"math"
	"strings"
	"testing"
)

func TestParseSize(t *testing.T) {
	cases := []struct {
		text string
		want Size
		err  string // "" means none
	}{
		{"4GiB", 4 * GiB, ""},
		{"1.5 TiB", TiB + TiB/2, ""},
		{" 512B ", 512, ""},
		{"500MB", 500_000_000, ""},
		{"20 GB", 20_000_000_000, ""},
		{"1TB", 1_000_000_000_000, ""},
		{"64KiB", 64 * KiB, ""},
		{"3kB", 3000, ""},
		{"3KB", 3000, ""},
		{"0B", 0, ""},
		{"0GiB", 0, ""},
		{"0.5KiB", 512, ""},
		{".5KiB", 512, ""},
		{"0001MiB", MiB, ""},
		{"9007199254740993B", 9007199254740993, ""}, // 2^53+1: not a float64
		{"9223372036854775807B", math.MaxInt64, ""},
		{"9223372036854775808B", 0, "too large"},
		{"8388608TiB", 0, "too large"},
		{"999999999999999999999999TiB", 0, "too large"},
		{strings.Repeat("9", 1000) + "TiB", 0, "not a number with a unit"},
		{"0.3B", 0, "not a whole number of bytes"},
		{"1.0000000001KiB", 0, "not a whole number of bytes"},
		{"4096", 0, `has no unit: write for example "4096GiB"`},
		{"1.5", 0, "has no unit"},
		{"", 0, "not a number with a unit"},
		{"   ", 0, "not a number with a unit"},
		{"GiB", 0, "not a number with a unit"},
		{".GiB", 0, "not a number with a unit"},
		{"1.2.3GiB", 0, "not a number with a unit"},
		{"-1GiB", 0, "not a number with a unit"},
		{"+1GiB", 0, "not a number with a unit"},
		{"1e3GiB", 0, "not a number with a unit"},
		{"0x10GiB", 0, "not a number with a unit"},
		{"1/2GiB", 0, "not a number with a unit"},
		{"1_000MiB", 0, "not a number with a unit"},
		{"1,5GiB", 0, "not a number with a unit"},
		{"4G", 0, "not a number with a unit"},
		{"4gib", 0, "not a number with a unit"},
		{"4 GiB extra", 0, "not a number with a unit"},
		{"٤GiB", 0, "not a number with a unit"},
	}
	for _, c := range cases {
		got, err := ParseSize(c.text)
		if got != c.want || (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("ParseSize(%q) = %d, %v; want %d, %q", c.text, got, err, c.want, c.err)
		}
	}
}

func TestSizeReadsAsItsLargestUnit(t *testing.T) {
	for size, want := range map[Size]string{
		0: "0B", 1: "1B", 1000: "1000B", KiB: "1KiB", 1536 * MiB: "1536MiB", 4 * GiB: "4GiB", 4096 * TiB: "4096TiB", GiB + 1: "1073741825B",
	} {
		if got := size.String(); got != want {
			t.Errorf("Size(%d).String() = %s, want %s", size, got, want)
		}
	}
}

func TestRoundUp(t *testing.T) {
	for _, c := range []struct{ size, unit, want Size }{
		{0, MiB, 0}, {1, MiB, MiB}, {MiB, MiB, MiB}, {MiB + 1, MiB, 2 * MiB}, {math.MaxInt64, 512, math.MaxInt64 - 511},
	} {
		if got := c.size.RoundUp(c.unit); got != c.want {
			t.Errorf("Size(%d).RoundUp(%d) = %d, want %d", c.size, c.unit, got, c.want)
		}
	}
}

func FuzzParseSize(f *testing.F) {
	for _, seed := range []string{"4GiB", "1.5 TiB", "500MB", "0.3B", "4096", "", ".GiB", "9223372036854775807B", "9007199254740993B"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		size, err := ParseSize(text)
		if err != nil {
			if size != 0 {
				t.Errorf("ParseSize(%q) = %d with the error %v", text, size, err)
			}
			return
		}
		if size < 0 {
			t.Errorf("ParseSize(%q) = %d: a negative size", text, size)
		}
		if again, err := ParseSize(size.String()); again != size || err != nil {
			t.Errorf("ParseSize(%q) = %d, reads as %s, which is %d, %v", text, size, size, again, err)
		}
	})
}
