package kvmprobe

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestOpenReasonSaysWhatToDo(t *testing.T) {
	cases := []struct {
		name string
		err  error
		want string
	}{
		{"the device is missing", unix.ENOENT, "no /dev/kvm"},
		{"the user may not open it", unix.EACCES, "group"},
		{"the module is not loaded", unix.ENODEV, "module"},
		{"anything else", unix.EMFILE, "too many open files"},
	}
	for _, c := range cases {
		if got := openReason(DevicePath, c.err); !strings.Contains(got, c.want) {
			t.Errorf("%s: openReason(%v) = %q, want it to contain %q", c.name, c.err, got, c.want)
		}
	}
}

func TestVerdictOfEachEnd(t *testing.T) {
	cases := []struct {
		name   string
		err    error
		usable bool
		want   string
	}{
		{"the guest said goodbye", nil, true, "ran a test guest in 3ms"},
		{"the guest crawled", errTooSlow, false, "did not end in 3ms"},
		{"the guest ended otherwise", errors.New("exit reason 17"), false, "exit reason 17"},
	}
	for _, c := range cases {
		r := verdict(c.err, 3*time.Millisecond)
		if r.Usable != c.usable || !strings.Contains(r.Reason, c.want) {
			t.Errorf("%s: verdict(%v) = %+v, want usable %v and %q", c.name, c.err, r, c.usable, c.want)
		}
	}
}

// A guest that outlives its limit must leave neither an open file nor a thread
// that still runs guest code. With a limit of a nanosecond every KVM that
// opens shows it.
func TestProbeThatTimesOutLeavesNothingBehind(t *testing.T) {
	if r := probe(t.Context(), DevicePath, time.Nanosecond); r.Usable {
		t.Fatalf("probe with a limit of 1ns = %+v, want not usable", r)
	}
	if files := openKVMFiles(t); len(files) > 0 {
		t.Errorf("still open after the probe: %v", files)
	}
	before := cpuTime(t)
	time.Sleep(200 * time.Millisecond)
	if used := cpuTime(t) - before; used > 100*time.Millisecond {
		t.Errorf("the process used %v of CPU in 200ms after the probe, want about none", used)
	}
}

func openKVMFiles(t *testing.T) (open []string) {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if to, err := os.Readlink("/proc/self/fd/" + e.Name()); err == nil && strings.Contains(to, "kvm") {
			open = append(open, to)
		}
	}
	return open
}

func cpuTime(t *testing.T) time.Duration {
	t.Helper()
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
