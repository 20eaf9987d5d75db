//go:build linux

package main

import (
	"bytes"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// stage copies the built programs and the scenario to a place that an ordinary
// user can read, and returns it. make builds them before the tests.
func stage(t *testing.T, uid, gid int) string {
	t.Helper()
	dir, err := os.MkdirTemp("/var/tmp", "novacron-demo-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	root := filepath.Join("..", "..", "..")
	for _, tree := range []string{"bin", filepath.Join("examples", "scenarios", "demo")} {
		if err := os.CopyFS(filepath.Join(dir, tree), os.DirFS(filepath.Join(root, tree))); err != nil {
			t.Fatalf("copy %s (make build makes bin): %v", tree, err)
		}
	}
	for _, p := range []string{dir, filepath.Join(dir, "home")} {
		if err := os.MkdirAll(p, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(p, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Chown(p, uid, gid); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// demoAs runs the demonstration's program as the user and returns what it said.
func demoAs(t *testing.T, dir string, uid, gid int, verb string) string {
	t.Helper()
	cmd := exec.Command(filepath.Join(dir, "bin", "demo"), verb)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "HOME="+filepath.Join(dir, "home"))
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
	if err := cmd.Run(); err != nil {
		t.Fatalf("demo %s: %v\n%s", verb, err, said.String())
	}
	return said.String()
}

// shows demands what the demonstration promises to print.
func shows(t *testing.T, said string) {
	t.Helper()
	for _, want := range []string{"Apply complete! Resources:", "reach it at", "web: CPU usage", "db: nothing unusual", "make demo-down"} {
		if !strings.Contains(said, want) {
			t.Errorf("the demonstration did not say %q:\n%s", want, said)
		}
	}
	t.Log(said)
}

// gone demands that nothing of the demonstration is left.
func gone(t *testing.T, dir string, uid int) {
	t.Helper()
	for _, p := range []string{filepath.Join(dir, ".demo"), "/tmp/novacron-demo-" + strconv.Itoa(uid)} {
		if _, err := os.Lstat(p); !os.IsNotExist(err) {
			t.Errorf("after demo down %s is still there (%v)", p, err)
		}
	}
	procs, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range procs {
		line, err := os.ReadFile(p)
		if err == nil && bytes.Contains(line, []byte(dir)) {
			t.Errorf("after demo down %s still runs: %q", filepath.Dir(p), line)
		}
	}
}

func TestDemoAsRootTwiceInARow(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("the tests of the demonstration run as root: they also show it as an ordinary user")
	}
	dir := stage(t, 0, 0)
	t.Cleanup(func() { demoAs(t, dir, 0, 0, "down") })
	shows(t, demoAs(t, dir, 0, 0, "up"))
	shows(t, demoAs(t, dir, 0, 0, "up")) // over the first one
	demoAs(t, dir, 0, 0, "down")
	gone(t, dir, 0)
}

func TestDemoAsAnOrdinaryUser(t *testing.T) {
	u, err := user.Lookup("nobody")
	if err != nil {
		t.Fatal(err)
	}
	uid, _ := strconv.Atoi(u.Uid) // numeric on Linux
	gid, _ := strconv.Atoi(u.Gid)
	dir := stage(t, uid, gid)
	t.Cleanup(func() { demoAs(t, dir, uid, gid, "down") })
	shows(t, demoAs(t, dir, uid, gid, "up"))
	demoAs(t, dir, uid, gid, "down")
	gone(t, dir, uid)
}
