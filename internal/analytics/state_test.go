package analytics_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc64"
	"io"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/novacron/terraform-provider-novacron/internal/analytics"
	"github.com/novacron/terraform-provider-novacron/internal/fault"
)

func saved(t testing.TB, e *analytics.Engine) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := e.Save(&b); err != nil {
		t.Fatalf("Save = %v, want no error", err)
	}
	return b.Bytes()
}

func TestARestartDoesNotShowInTheVerdicts(t *testing.T) {
	in := twoGuests(400)
	want := process(newEngine(t, analytics.Options{}), in)
	for _, cut := range []int{0, 1, 59, 121, 125, 150, 185, 500} {
		first, second := newEngine(t, analytics.Options{}), newEngine(t, analytics.Options{})
		got := process(first, in[:cut])
		if err := second.Load(bytes.NewReader(saved(t, first))); err != nil {
			t.Fatalf("Load after %d samples = %v, want no error", cut, err)
		}
		if diff := cmp.Diff(first.Stats(), second.Stats()); diff != "" {
			t.Errorf("stats after a restart at sample %d (-before +after):\n%s", cut, diff)
		}
		got = append(got, process(second, in[cut:])...)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("restarted after %d samples (-unbroken +restarted):\n%s", cut, diff)
		}
	}
}

func TestSavingTwiceWritesTheSameBytes(t *testing.T) {
	e := newEngine(t, analytics.Options{})
	process(e, twoGuests(100))
	a := saved(t, e)
	b := newEngine(t, analytics.Options{})
	if err := b.Load(bytes.NewReader(a)); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(a, saved(t, e)) || !bytes.Equal(a, saved(t, b)) {
		t.Error("Save of the same state wrote other bytes, want the same")
	}
}

func TestDamagedStateIsRefusedAndHarmsNothing(t *testing.T) {
	e := newEngine(t, analytics.Options{})
	process(e, twoGuests(100))
	good := saved(t, e)
	try := func(what string, b []byte) {
		t.Helper()
		if err := e.Load(bytes.NewReader(b)); !errors.Is(err, fault.Invalid) {
			t.Errorf("Load of state that is %s = %v, want %v", what, err, fault.Invalid)
		}
	}
	for i := range good {
		b := bytes.Clone(good)
		b[i] ^= 0x10
		try("flipped in a bit", b)
	}
	for _, n := range []int{0, 1, 24, 30, 100, len(good) - 8, len(good) - 1} {
		try("cut off", good[:n])
	}
	try("followed by more", append(bytes.Clone(good), 0))
	try("of a later version", resealed(good, func(b []byte) { b[24] = 99 }))
	try("short of a series", resealed(good, func(b []byte) { b[28]++ }))
	if !bytes.Equal(good, saved(t, e)) {
		t.Error("a refused state changed the engine")
	}
}

// resealed changes a state and mends its checksum.
func resealed(good []byte, change func([]byte)) []byte {
	b := bytes.Clone(good)
	change(b)
	end := len(b) - 8
	binary.LittleEndian.PutUint64(b[end:], crc64.Checksum(b[:end], crc64.MakeTable(crc64.ECMA)))
	return b
}

func TestLoadKeepsToTheOptionsOfToday(t *testing.T) {
	e := newEngine(t, analytics.Options{})
	process(e, twoGuests(100))
	b := saved(t, e)
	small := newEngine(t, analytics.Options{MaxSeries: 1})
	if err := small.Load(bytes.NewReader(b)); err != nil || small.Stats().Series != 1 || small.Stats().Evicted != 1 {
		t.Errorf("Load of 2 series into room for 1 = %v, %+v; want 1 series, 1 evicted", err, small.Stats())
	}
	other := newEngine(t, analytics.Options{Rules: []analytics.Rule{{Measurement: "mem", Field: "*"}}})
	if err := other.Load(bytes.NewReader(b)); err != nil || other.Stats().Series != 0 {
		t.Errorf("Load of series that no rule chooses = %v, %+v; want none", err, other.Stats())
	}
}

type fullDisk struct{ room int }

func (d *fullDisk) Write(p []byte) (int, error) {
	if d.room -= len(p); d.room < 0 {
		return 0, io.ErrShortWrite
	}
	return len(p), nil
}

func TestSaveReportsAFullDisk(t *testing.T) {
	e := newEngine(t, analytics.Options{})
	process(e, twoGuests(100))
	for room := range len(saved(t, e)) {
		if err := e.Save(&fullDisk{room}); err == nil {
			t.Fatalf("Save with room for %d bytes = no error, want one", room)
		}
	}
}

// FuzzLoad mends the checksum, so that what is behind it is reached.
func FuzzLoad(f *testing.F) {
	e := newEngine(f, analytics.Options{})
	f.Add(saved(f, e))
	process(e, twoGuests(40))
	good := saved(f, e)
	f.Add(good)
	f.Add([]byte("novacron analytics state\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		e := newEngine(t, analytics.Options{MaxSeries: 100})
		_ = e.Load(bytes.NewReader(b))
		if len(b) >= 8 {
			b = resealed(b, func([]byte) {})
		}
		if err := e.Load(bytes.NewReader(b)); err == nil {
			saved(t, e)
		}
		process(e, twoGuests(3)) // whatever was accepted can be lived with
	})
}
