//go:build linux

package lab

import (
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestParseStat(t *testing.T) {
	const rest = " S 17 1 1 0 -1 4194560 1 0 0 0 3 4 0 0 20 0 1 0 98765 1 2"
	cases := []struct {
		name, line string
		want       stat
		ok         bool
	}{
		{"a plain name", "42 (qemu)" + rest, stat{'S', 17, 98765}, true},
		{"a name with spaces and parentheses", "42 (a) R 1 (b)" + rest, stat{'S', 17, 98765}, true},
		{"cut short", "42 (qemu) S 17", stat{}, false},
		{"no name", "42", stat{}, false},
		{"a parent that is no number", "42 (x) S y 1 1 0 -1 4 1 0 0 0 3 4 0 0 20 0 1 0 98765", stat{}, false},
	}
	for _, c := range cases {
		got, err := parseStat([]byte(c.line))
		if (err == nil) != c.ok || c.ok && got != c.want {
			t.Errorf("%s: parseStat(%q) = %v, %v; want %v, ok %v", c.name, c.line, got, err, c.want, c.ok)
		}
	}
}

func FuzzParseStat(f *testing.F) {
	f.Add([]byte("42 (qemu) S 17 1 1 0 -1 4194560 1 0 0 0 3 4 0 0 20 0 1 0 98765 1 2"))
	f.Add([]byte(") \x00 ) S"))
	f.Fuzz(func(t *testing.T, line []byte) {
		if s, err := parseStat(line); err == nil && s.state == 0 {
			t.Errorf("parseStat(%q) = %v without a state or an error", line, s)
		}
	})
}

func TestAProcessIsNotMistakenForAnother(t *testing.T) {
	self, err := identify(os.Getpid())
	if err != nil || !self.alive() {
		t.Fatalf("identify(self) = %v, %v; want an identity that is alive", self, err)
	}
	if other := (process{PID: self.PID, Start: self.Start + 1}); other.alive() {
		t.Error("a process with our ID and another start time is alive, want it taken for gone")
	}
	cmd := exec.CommandContext(t.Context(), "true")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p, err := identify(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(10 * time.Second); p.alive(); {
		if time.Now().After(deadline) {
			t.Fatal("an ended process that nobody waited for counts as alive")
		}
		time.Sleep(time.Millisecond)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
}

func TestDescendantsIncludesGrandchildren(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), "sh", "-c", "sleep 60 & wait")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = unix.Kill(-cmd.Process.Pid, unix.SIGKILL)
		_ = cmd.Wait() // it was killed
	}()
	var below []int
	for deadline := time.Now().Add(10 * time.Second); len(below) == 0 && time.Now().Before(deadline); {
		var err error
		if below, err = descendants(cmd.Process.Pid); err != nil {
			t.Fatal(err)
		}
	}
	all, err := descendants(os.Getpid())
	if err != nil || len(below) != 1 || len(all) < 2 {
		t.Errorf("descendants = %v of the shell and %v of the test, %v; want the sleep in both", below, all, err)
	}
}

func TestBridgeOf(t *testing.T) {
	cases := []struct{ name, state, want string }{
		{"a network with a bridge", "<networkstatus>\n<class_id bitmap='0-2'/>\n<network><name>lan</name><bridge name='virbr7' stp='on'/></network></networkstatus>", "virbr7"},
		{"one without", "<networkstatus><network><name>lan</name></network></networkstatus>", ""},
	}
	for _, c := range cases {
		if got, err := bridgeOf([]byte(c.state)); err != nil || got != c.want {
			t.Errorf("%s: bridgeOf = %q, %v; want %q", c.name, got, err, c.want)
		}
	}
}

func FuzzBridgeOf(f *testing.F) {
	f.Add([]byte("<networkstatus><network><bridge name='virbr7'/></network></networkstatus>"))
	f.Add([]byte("<"))
	f.Fuzz(func(_ *testing.T, state []byte) {
		_, _ = bridgeOf(state) // whatever it holds, it does not panic
	})
}
