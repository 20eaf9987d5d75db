package main

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	input "github.com/novacron/terraform-provider-novacron/plugins/inputs/novacron"
)

// asProgram is the variable that makes the test binary the program itself.
const asProgram = "NOVACRON_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// program returns the command, not yet started.
func program(t *testing.T, conf string, args ...string) *exec.Cmd {
	t.Helper()
	if conf != "" {
		path := filepath.Join(t.TempDir(), "plugin.conf")
		if err := os.WriteFile(path, []byte(conf), 0o600); err != nil {
			t.Fatal(err)
		}
		args = append(args, "--config", path)
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], args...)
	cmd.Env = append(os.Environ(), asProgram+"=1", "SOCKET=/nonexistent/with\"quote")
	return cmd
}

func TestConfigurationsThatAreRefused(t *testing.T) {
	for _, c := range []struct{ name, conf, says string }{
		{"no plugin", "", "has 0 plugins"},
		{"two plugins", "[[inputs.novacron]]\n[[processors.novacron]]\n", "has 2 plugins"},
		{"another plugin", "[[inputs.cpu]]\n", "no [[inputs.cpu]] here"},
		{"an unknown key", "[[inputs.novacron]]\n  uri = \"qemu:///system\"\n", "unknown keys inputs.novacron.uri"},
		{"a key of the agent", "[[processors.novacron]]\n  namepass = [\"x\"]\n", "unknown keys processors.novacron.namepass"},
		{"an unknown table", "[agent]\n  interval = \"1s\"\n[[inputs.novacron]]\n", "unknown keys agent"},
		{"a value of the wrong type", "[[inputs.novacron]]\n  uris = 5\n", "uris"},
		{"no TOML", "[[", "toml"},
	} {
		if _, err := load(c.conf); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: load = %v, want an error that says %q", c.name, err, c.says)
		}
	}
}

func TestVariablesAreReplacedAndStayInTheirString(t *testing.T) {
	t.Setenv("SOCKET", `/a"b\c`)
	p, err := load("[[inputs.novacron]]\n  uris = [\"qemu:///system?socket=$SOCKET\"]\n  timeout = \"3s\"\n")
	if err != nil {
		t.Fatalf("load = %v", err)
	}
	if got := p.input.(*input.Novacron).URIs; len(got) != 1 || got[0] != `qemu:///system?socket=/a"b\c` {
		t.Errorf("uris = %q, want the variable as it is", got)
	}
}

func TestVersionAndMistakesOnTheCommandLine(t *testing.T) {
	out, err := program(t, "", "--version").Output()
	if err != nil || !strings.HasPrefix(string(out), "novacron-telegraf ") {
		t.Errorf("--version = %q, %v", out, err)
	}
	for _, args := range [][]string{{}, {"--config", "/nonexistent.conf"}, {"run"}, {"--poll_interval", "-1s", "--config", "x"}} {
		if out, err := program(t, "", args...).CombinedOutput(); err == nil || !bytes.Contains(out, []byte("E! ")) {
			t.Errorf("%v = %q, %v; want an E! line and a failure", args, out, err)
		}
	}
}

func TestAnInputThatCannotReachItsHostSaysSoAndGoesOn(t *testing.T) {
	cmd := program(t, "[[inputs.novacron]]\n  uris = [\"qemu:///system?socket=/nonexistent/sock\"]\n")
	stdin, _ := cmd.StdinPipe()
	stdout, _ := cmd.StdoutPipe()
	var log bytes.Buffer
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(stdout)
	for range 2 {
		fmt.Fprintln(stdin)
		if !lines.Scan() || !strings.Contains(lines.Text(), "up=0i") {
			t.Fatalf("a gather gave %q, want novacron_host with up=0i; log:\n%s", lines.Text(), &log)
		}
		for !strings.HasPrefix(lines.Text(), "novacron_collector") || !strings.Contains(lines.Text(), "gather_ms") {
			lines.Scan()
		}
	}
	stdin.Close()
	for lines.Scan() {
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("at the end of stdin: %v, want exit 0; log:\n%s", err, &log)
	}
	if !strings.Contains(log.String(), "E! ") || !strings.Contains(log.String(), "/nonexistent/sock") {
		t.Errorf("the log says %q, want an E! line with the socket", log.String())
	}
}

func TestAProcessorPassesOnWhatItGotEvenAfterSIGTERM(t *testing.T) {
	cmd := program(t, "[[processors.novacron]]\n")
	stdin, _ := cmd.StdinPipe()
	var out, log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	const half = 500
	send := func(from, to int) {
		for i := from; i < to; i++ {
			fmt.Fprintf(stdin, "m,k=%d v=1i %d\n", i, 1_700_000_000_000_000_000+i)
		}
	}
	send(0, half)
	time.Sleep(200 * time.Millisecond)
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	time.Sleep(200 * time.Millisecond)
	send(half, 2*half)
	stdin.Close()
	if err := cmd.Wait(); err != nil {
		t.Errorf("at the end of stdin: %v, want exit 0; log:\n%s", err, &log)
	}
	if n := strings.Count("\n"+out.String(), "\nm,k="); n != 2*half {
		t.Errorf("%d of %d metrics came out", n, 2*half)
	}
}
