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
	"strings"
	"sync"
	"testing"
	"time"
)

func build(t *testing.T) Image {
	t.Helper()
	img, err := Build(t.Context(), CacheDir(), t.Logf)
	if err != nil {
		t.Fatalf("Build: %v", err)
	}
	return img
}

// machine is a running QEMU whose serial port is read line by line.
type machine struct {
	lines   chan string
	http    string
	started time.Time
	exited  chan error
}

// boot starts QEMU without hardware virtualization and ends it with the test.
func boot(t *testing.T, args ...string) *machine {
	t.Helper()
	port := freePort(t)
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	base := []string{"-M", "pc", "-accel", "tcg", "-m", "128", "-display", "none", "-no-reboot", "-nodefaults",
		"-serial", "stdio", "-monitor", "none",
		"-netdev", fmt.Sprintf("user,id=n,hostfwd=tcp:127.0.0.1:%d-:80", port), "-device", "virtio-net-pci,netdev=n,romfile="}
	cmd := exec.CommandContext(ctx, "qemu-system-x86_64", append(base, args...)...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	m := &machine{lines: make(chan string, 1000), http: fmt.Sprintf("http://127.0.0.1:%d", port), started: time.Now(), exited: make(chan error, 1)}
	if err := cmd.Start(); err != nil {
		t.Fatalf("start QEMU: %v", err)
	}
	go func() {
		for s := bufio.NewScanner(out); s.Scan(); {
			m.lines <- strings.TrimSpace(s.Text())
		}
		close(m.lines)
		m.exited <- cmd.Wait()
	}()
	t.Cleanup(func() {
		cancel()
		for range m.lines {
		}
	})
	return m
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

func TestGuestBootsDirectlyAndServes(t *testing.T) {
	img := build(t)
	m := boot(t, "-kernel", img.Kernel, "-initrd", img.Initrd, "-append", Cmdline)
	if line := m.await(t, Ready); line != Ready+" novacron-guest" {
		t.Errorf("the guest said %q, want the default host name", line)
	}
	m.await(t, "NOVACRON-GUEST-ADDRESS eth0 10.0.2.15")
	page := m.get(t, "/")
	for _, want := range []string{"hostname: novacron-guest\n", "uptime: ", "address: eth0 10.0.2.15\n"} {
		if !strings.Contains(page, want) {
			t.Errorf("GET / = %q, want it to contain %q", page, want)
		}
	}
	if id := m.get(t, "/boot_id"); len(strings.TrimSpace(id)) != 36 {
		t.Errorf("GET /boot_id = %q, want a UUID", id)
	}
}

func TestGuestBootsFromAnOverlayOfItsDisk(t *testing.T) {
	img := build(t)
	overlay := filepath.Join(t.TempDir(), "overlay.qcow2")
	if out, err := exec.CommandContext(t.Context(), "qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", img.Disk, overlay).CombinedOutput(); err != nil {
		t.Fatalf("qemu-img create: %v: %s", err, out)
	}
	m := boot(t, "-drive", "file="+overlay+",format=qcow2,if=virtio")
	m.await(t, Ready)
}

func TestConcurrentBuildsGiveOneImage(t *testing.T) {
	dir := t.TempDir()
	var wg sync.WaitGroup
	images := make([]Image, 3)
	for i := range images {
		wg.Go(func() {
			img, err := Build(t.Context(), dir, nil)
			if err != nil {
				t.Errorf("Build %d: %v", i, err)
			}
			images[i] = img
		})
	}
	wg.Wait()
	for i, img := range images {
		if img != images[0] {
			t.Errorf("Build %d = %+v, want %+v", i, img, images[0])
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 2 {
		t.Errorf("the cache holds %v, want one image and the lock", entries)
	}
	if st, err := os.Stat(images[0].Disk); err != nil || st.Size() > 64<<20 {
		t.Errorf("Stat(%s) = %v, %v; want a disk of at most 64 MiB", images[0].Disk, st, err)
	}
}
