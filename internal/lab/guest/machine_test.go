package guest

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// machine is a running QEMU whose serial port is read line by line.
type machine struct {
	lines   chan string
	http    string
	monitor string
	started time.Time
	process *os.Process
}

// boot starts QEMU without hardware virtualization and ends it with the test.
func boot(t *testing.T, args ...string) *machine {
	t.Helper()
	dir, err := os.MkdirTemp("", "qemu") // short, for the socket
	if err != nil {
		t.Fatal(err)
	}
	port := freePort(t)
	m := &machine{
		lines:   make(chan string, 1000),
		http:    fmt.Sprintf("http://127.0.0.1:%d", port),
		monitor: filepath.Join(dir, "monitor"),
		started: time.Now(),
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	base := []string{"-accel", "tcg", "-m", "128", "-display", "none", "-no-reboot", "-nodefaults",
		"-serial", "stdio", "-monitor", "unix:" + m.monitor + ",server=on,wait=off",
		"-netdev", fmt.Sprintf("user,id=n,hostfwd=tcp:127.0.0.1:%d-:80", port), "-device", "virtio-net-pci,netdev=n,romfile="}
	cmd := exec.CommandContext(ctx, "qemu-system-x86_64", append(base, args...)...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatalf("start QEMU: %v", err)
	}
	m.process = cmd.Process
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for s := bufio.NewScanner(out); s.Scan(); {
			m.lines <- strings.TrimSpace(s.Text())
		}
		close(m.lines)
		_ = cmd.Wait() // how it ended is told by what the guest said
	}()
	t.Cleanup(func() {
		cancel()
		for range m.lines {
		}
		<-ended
		os.RemoveAll(dir)
	})
	return m
}

// direct are the arguments that boot the kernel without a disk.
func direct(img Image) []string {
	return []string{"-M", "pc", "-kernel", img.Kernel, "-initrd", img.Initrd, "-append", Cmdline}
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// await returns the first line that contains want.
func (m *machine) await(t *testing.T, want string) string {
	t.Helper()
	for line := range m.lines {
		t.Logf("%6.2fs %s", time.Since(m.started).Seconds(), line)
		if strings.Contains(line, want) {
			return line
		}
	}
	t.Fatalf("QEMU ended before the guest said %q", want)
	return ""
}

// get returns what the guest answers on HTTP.
func (m *machine) get(t *testing.T, path string) string {
	t.Helper()
	client := http.Client{Timeout: 20 * time.Second}
	resp, err := client.Get(m.http + path)
	if err != nil {
		t.Fatalf("GET %s: %v", path, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("GET %s: %v", path, err)
	}
	return string(body)
}

// command gives a command to QEMU's monitor.
func (m *machine) command(t *testing.T, command string) {
	t.Helper()
	conn, err := net.Dial("unix", m.monitor)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	prompt := bufio.NewReader(conn)
	for range 2 { // the greeting, then the answer
		if _, err := prompt.ReadString(')'); err != nil {
			t.Fatalf("monitor: %v", err)
		}
		fmt.Fprintln(conn, command)
		command = ""
	}
}

// load returns how many processors QEMU keeps busy.
func (m *machine) load(t *testing.T, during time.Duration) float64 {
	t.Helper()
	before := m.ticks(t)
	time.Sleep(during)
	const hz = 100 // of the times in /proc on every Linux
	return float64(m.ticks(t)-before) / hz / during.Seconds()
}

func (m *machine) ticks(t *testing.T) (sum int) {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", m.process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	fields := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
	for _, f := range fields[11:13] { // utime and stime
		n, err := strconv.Atoi(f)
		if err != nil {
			t.Fatal(err)
		}
		sum += n
	}
	return sum
}
