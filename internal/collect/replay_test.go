package collect

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/novacron/terraform-provider-novacron/internal/fault"
	"github.com/novacron/terraform-provider-novacron/internal/sample"
)

func TestAReplayGivesTheSamplesOfTheHostThatWasRecorded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newFakeHost(20)
		h.set(1, map[string]any{"cpu.time": uint64(1<<63 + 1)}) // not a float64
		rec := make([]Recorded, 2)
		for i := range rec {
			h.set(0, map[string]any{"cpu.time": uint64(i) * 5e9})
			var err error
			if rec[i], err = Record(t.Context(), h); err != nil {
				t.Fatalf("Record = %v", err)
			}
		}
		b, err := json.Marshal(rec)
		if err != nil {
			t.Fatal(err)
		}
		replay, err := NewReplay(bytes.NewReader(b))
		if err != nil {
			t.Fatalf("NewReplay = %v", err)
		}
		from := func(src Source) *Collector {
			c, err := New(Options{URI: "x", Source: src})
			if err != nil {
				t.Fatal(err)
			}
			return c
		}
		live, played := from(h), from(replay)
		for i := range rec {
			time.Sleep(time.Second)
			h.set(0, map[string]any{"cpu.time": uint64(i) * 5e9})
			want, _ := collectOnce(t, live)
			got, err := collectOnce(t, played)
			if err != nil {
				t.Errorf("gather %d of the replay = %v", i, err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("gather %d of the replay differs (-host +replay):\n%s", i, diff)
			}
		}
		if _, err := collectOnce(t, played); !errors.Is(err, fault.Unavailable) {
			t.Errorf("gather after the end = %v, want fault.Unavailable", err)
		}
	})
}

func collectOnce(t *testing.T, c *Collector) (out []sample.Sample, err error) {
	err = c.Gather(t.Context(), time.Now(), func(s sample.Sample) { out = append(out, s) })
	return out, err
}

func TestABrokenRecordingIsRefused(t *testing.T) {
	for _, text := range []string{"", "{}", `[{"domains":[{"name":"a","uuid":"12"}]}]`, `[{"domains":[{"uuid":"zz"}]}]`} {
		if _, err := NewReplay(strings.NewReader(text)); !errors.Is(err, fault.Invalid) {
			t.Errorf("NewReplay(%q) = %v, want fault.Invalid", text, err)
		}
	}
}
