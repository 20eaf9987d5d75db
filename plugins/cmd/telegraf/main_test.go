package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/novacron/terraform-provider-novacron/internal/lab"
)

// asProgram is the variable that makes the test binary the agent itself.
const asProgram = "NOVACRON_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	lab.Main()
	if os.Getenv(asProgram) != "" {
		main()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func program(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, os.Args[0], args...)
	cmd.Env = append(os.Environ(), asProgram+"=1")
	return cmd
}

// pipeline is the agent with our two plugins, writing into a file.
const pipeline = `[agent]
  interval = "1s"
  flush_interval = "1h" # only the flush at the end writes
  omit_hostname = true
[[inputs.novacron]]
  uris = [%q]
[[processors.novacron]]
[[outputs.file]]
  files = [%q]
`

const tiny = `<domain type='qemu'><name>vm1</name><memory unit='MiB'>16</memory><vcpu>1</vcpu>
<os><type arch='x86_64' machine='pc'>hvm</type></os><devices>
<disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='%s'/><target dev='vda' bus='virtio'/></disk>
<memballoon model='virtio'/></devices></domain>`

func TestTheAgentCollectsFromARealHostAndFlushesWhenItIsTold(t *testing.T) {
	h := lab.ForTest(t)
	dir := t.TempDir()
	disk, def, conf, out := filepath.Join(h.Images(), "vm1.img"), filepath.Join(dir, "vm1.xml"), filepath.Join(dir, "a.conf"), filepath.Join(dir, "out")
	if err := errors.Join(os.WriteFile(disk, make([]byte, 1<<20), 0o666),
		os.WriteFile(def, fmt.Appendf(nil, tiny, disk), 0o644),
		os.WriteFile(conf, fmt.Appendf(nil, pipeline, h.URI(), out), 0o644)); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Virsh(t.Context(), "create", "--paused", def); err != nil {
		t.Fatal(err)
	}
	cmd := program(t.Context(), "--config", conf)
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(4 * time.Second)
	if b, err := os.ReadFile(out); err == nil && len(b) > 0 {
		t.Fatalf("the agent wrote before it was told to stop: the test proves no flush:\n%s", b)
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("after SIGTERM: %v, want exit 0; log:\n%s", err, &log)
	}
	b, err := os.ReadFile(out)
	if err != nil {
		t.Fatalf("nothing was written: %v; log:\n%s", err, &log)
	}
	for _, want := range []string{"novacron_host,", "up=1i", "novacron_domain,domain=vm1,", `state="paused"`, "novacron_cpu,", "usage_percent=",
		"novacron_block,device=vda,", "capacity_bytes=1048576i", "novacron_memory,", "novacron_collector,", "novacron_anomaly,"} {
		if !strings.Contains(string(b), want) {
			t.Errorf("the output lacks %q:\n%s", want, b)
		}
	}
	if strings.Contains(log.String(), "E! ") {
		t.Errorf("the agent complained:\n%s", &log)
	}
}

// external is the pipeline of a stock Telegraf: our plugins behind execd.
const external = `[agent]
  interval = "1s"
  flush_interval = "1s"
  omit_hostname = true
[[inputs.execd]]
  command = [%[1]q, "--config", %[2]q]
  signal = "STDIN"
  data_format = "influx"
[[processors.execd]]
  command = [%[1]q, "--config", %[3]q]
  namepass = ["novacron_host"]
[[outputs.file]]
  files = [%[4]q]
`

func TestTheExternalPluginsWorkBehindExecd(t *testing.T) {
	h := lab.ForTest(t)
	dir := t.TempDir()
	bin, in, proc, conf, out := filepath.Join(dir, "novacron-telegraf"), filepath.Join(dir, "in.conf"), filepath.Join(dir, "proc.conf"), filepath.Join(dir, "a.conf"), filepath.Join(dir, "out")
	if b, err := exec.Command("go", "build", "-o", bin, "../novacron-telegraf").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, b)
	}
	if err := errors.Join(os.WriteFile(in, fmt.Appendf(nil, "[[inputs.novacron]]\n  uris = [%q]\n", h.URI()), 0o644),
		os.WriteFile(proc, []byte("[[processors.novacron]]\n"), 0o644),
		os.WriteFile(conf, fmt.Appendf(nil, external, bin, in, proc, out), 0o644)); err != nil {
		t.Fatal(err)
	}
	cmd := program(t.Context(), "--config", conf)
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	awaitText(t, out, "novacron_host,", "up=1i", "novacron_collector,", "novacron_anomaly,")
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("after SIGTERM: %v, want exit 0; log:\n%s", err, &log)
	}
}

// awaitText waits until a file has all of these in it.
func awaitText(t *testing.T, path string, want ...string) {
	t.Helper()
	var text string
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		b, _ := os.ReadFile(path) // may not be there yet
		text = string(b)
		missing := slices.DeleteFunc(slices.Clone(want), func(w string) bool { return strings.Contains(text, w) })
		if len(missing) == 0 {
			return
		}
		want = missing
	}
	t.Fatalf("%s lacks %q after 30 s:\n%s", path, want, text)
}

func TestASIGHUPLoadsTheConfigurationAnew(t *testing.T) {
	dir := t.TempDir()
	conf, in := filepath.Join(dir, "a.conf"), filepath.Join(dir, "in")
	write := func(tag string) {
		text := fmt.Sprintf("[agent]\n  interval = \"100ms\"\n  flush_interval = \"100ms\"\n[[inputs.file]]\n  files = [%q]\n  data_format = \"influx\"\n  [inputs.file.tags]\n    tag = %q\n[[outputs.file]]\n  files = [%q]\n", in, tag, filepath.Join(dir, tag))
		if err := os.WriteFile(conf, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(in, []byte("m v=1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	write("before")
	cmd := program(t.Context(), "--config", conf, "--quiet", "--pidfile", filepath.Join(dir, "pid"))
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	await(t, filepath.Join(dir, "before"))
	write("after")
	if err := cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	await(t, filepath.Join(dir, "after"))
	if b, err := os.ReadFile(filepath.Join(dir, "pid")); err != nil || strings.TrimSpace(string(b)) != fmt.Sprint(cmd.Process.Pid) {
		t.Errorf("pidfile holds %q, %v; want %d", b, err, cmd.Process.Pid)
	}
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("after SIGINT: %v, want exit 0", err)
	}
}

// await waits until a file has something in it.
func await(t *testing.T, path string) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if s, err := os.Stat(path); err == nil && s.Size() > 0 {
			return
		}
	}
	t.Fatalf("nothing was written to %s in 20 s", path)
}

func TestOnceTestAndVersion(t *testing.T) {
	dir := t.TempDir()
	conf, in, out := filepath.Join(dir, "a.conf"), filepath.Join(dir, "in"), filepath.Join(dir, "out")
	text := fmt.Sprintf("[[inputs.file]]\n  files = [%q]\n  data_format = \"influx\"\n[[outputs.file]]\n  files = [%q]\n", in, out)
	if err := errors.Join(os.WriteFile(conf, []byte(text), 0o644), os.WriteFile(in, []byte("m v=1\n"), 0o644)); err != nil {
		t.Fatal(err)
	}
	b, err := program(t.Context(), "--config", conf, "--test").Output()
	if err != nil || !strings.Contains(string(b), "> m,") {
		t.Errorf("--test = %q, %v; want the metric", b, err)
	}
	if _, err := os.Stat(out); err == nil {
		t.Error("--test wrote to the output")
	}
	if b, err := program(t.Context(), "--config-directory", dir, "--once").CombinedOutput(); err != nil {
		t.Errorf("--once = %q, %v", b, err)
	}
	if b, err := os.ReadFile(out); err != nil || !strings.HasPrefix(string(b), "m,") {
		t.Errorf("--once wrote %q, %v; want the metric", b, err)
	}
	if b, err := program(t.Context(), "--version").Output(); err != nil || !strings.Contains(string(b), "Telegraf v1.") {
		t.Errorf("--version = %q, %v; want the version of Telegraf in it", b, err)
	}
}

func TestMistakesAreToldAndFatal(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"no input is configured":  "[[outputs.discard]]\n",
		"no output is configured": "[[inputs.file]]\n  files = []\n  data_format = \"influx\"\n",
		"uri":                     "[[inputs.novacron]]\n  uri = \"qemu:///system\"\n[[outputs.discard]]\n",
		"must be positive":        "[agent]\n  interval = \"0s\"\n[[inputs.novacron]]\n[[outputs.discard]]\n",
		"metric group \"disk\"":   "[[inputs.novacron]]\n  groups = [\"disk\"]\n[[outputs.discard]]\n",
	} {
		conf := filepath.Join(dir, "x.conf")
		if err := os.WriteFile(conf, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		b, err := program(t.Context(), "--config", conf, "--once").CombinedOutput()
		if err == nil || !strings.Contains(string(b), name) {
			t.Errorf("%q: %v, %s; want a failure that says %q", text, err, b, name)
		}
	}
	if b, err := program(t.Context(), "config").CombinedOutput(); err == nil || !strings.Contains(string(b), "unknown command") {
		t.Errorf("telegraf config = %v, %s", err, b)
	}
}
