package kvmprobe

import (
	"os"
	"path/filepath"
	"testing"
)

func TestAnAnswerIsKeptForOneBoot(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "cache")
	boot := filepath.Join(t.TempDir(), "boot_id")
	asked := 0
	probe := func() (Result, bool) { asked++; return Result{Reason: "no"}, true }
	ask := func(id string) Result {
		if err := os.WriteFile(boot, []byte(id+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		return remembered(dir, boot, probe)
	}
	for i, c := range []struct {
		boot string
		want int
	}{{"one", 1}, {"one", 1}, {"two", 2}, {"two", 2}} {
		if got := ask(c.boot); got != (Result{Reason: "no"}) || asked != c.want {
			t.Errorf("step %d in boot %s: %+v after %d probes, want the answer after %d", i, c.boot, got, asked, c.want)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "kvm-0.json"), []byte("{"), 0o644); err != nil {
		t.Fatal(err)
	}
	if ask("two"); os.Geteuid() == 0 && asked != 3 {
		t.Errorf("a damaged file was believed: %d probes, want 3", asked)
	}
}

func TestAnAnswerThatWasCutShortIsNotKept(t *testing.T) {
	dir, asked := t.TempDir(), 0
	for range 2 {
		remembered(dir, bootID, func() (Result, bool) { asked++; return Result{}, false })
	}
	if asked != 2 {
		t.Errorf("%d probes, want 2", asked)
	}
}
