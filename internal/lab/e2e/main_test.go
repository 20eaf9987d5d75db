//go:build linux

package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/novacron/terraform-provider-novacron/internal/lab"
	"github.com/novacron/terraform-provider-novacron/internal/lab/guest"
)

// bench is what all tests of a run share: one installed provider, one host and
// one guest image. It is made before the first test.
var bench struct {
	dir  string
	rc   string // Terraform's CLI configuration: the provider comes from a mirror
	host *lab.Host
	img  guest.Image
}

func TestMain(m *testing.M) {
	lab.Main()
	os.Exit(run(m))
}

func run(m *testing.M) (code int) {
	stop, err := start()
	defer func() {
		if err := stop(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// start builds and installs the provider, builds the guest and starts the host.
func start() (stop func() error, err error) {
	stop = func() error {
		var err error
		if bench.host != nil {
			err = bench.host.Stop()
		}
		return errors.Join(err, os.RemoveAll(bench.dir))
	}
	if bench.dir, err = os.MkdirTemp("/var/tmp", "nve-"); err != nil { // an ordinary user must be able to enter it
		return stop, err
	}
	if err = os.Chmod(bench.dir, 0o755); err != nil {
		return stop, err
	}
	if err = install(); err != nil {
		return stop, err
	}
	ctx := context.Background()
	if bench.img, err = guest.Build(ctx, guest.CacheDir(), func(f string, a ...any) { fmt.Printf(f+"\n", a...) }); err != nil {
		return stop, err
	}
	bench.host, err = lab.StartHost(ctx, lab.HostOptions{})
	return stop, err
}

// install builds the provider into a file system mirror of Terraform's.
func install() error {
	mirror := filepath.Join(bench.dir, "mirror")
	program := filepath.Join(mirror, "registry.terraform.io/novacron/novacron/0.0.1/linux_amd64/terraform-provider-novacron_v0.0.1")
	build := exec.Command("go", "build", "-o", program, "github.com/novacron/terraform-provider-novacron")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build the provider: %w\n%s", err, out)
	}
	bench.rc = filepath.Join(bench.dir, "terraform.rc")
	text := fmt.Sprintf("provider_installation {\n  filesystem_mirror {\n    path = %q\n  }\n}\n", mirror)
	return os.WriteFile(bench.rc, []byte(text), 0o644)
}

// sharedHost returns the host of the run. When the test ends, the host must be
// as empty as it was.
func sharedHost(t *testing.T) *lab.Host {
	t.Helper()
	t.Cleanup(func() { wantEmpty(t, bench.host) })
	return bench.host
}

// ownHost returns a host for one test that disturbs it.
func ownHost(t *testing.T) *lab.Host {
	t.Helper()
	h := lab.ForTest(t)
	t.Cleanup(func() { wantEmpty(t, h) })
	return h
}

// virsh asks libvirt itself, past the provider and past any proxy.
func virsh(t *testing.T, h *lab.Host, args ...string) string {
	t.Helper()
	out, err := h.Virsh(context.Background(), args...)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(out)
}

// leftovers lists what the host holds: domains, networks, volumes and files of
// the pool.
func leftovers(h *lab.Host) ([]string, error) {
	var all []string
	var errs []error
	ctx := context.Background()
	_, err := h.Virsh(ctx, "pool-refresh", "default")
	errs = append(errs, err)
	for what, list := range map[string][]string{
		"domain":  {"list", "--all", "--name"},
		"network": {"net-list", "--all", "--name"},
		"volume":  {"vol-list", "default"},
	} {
		out, err := h.Virsh(ctx, list...)
		errs = append(errs, err)
		for line := range strings.Lines(out) {
			f := strings.Fields(line)
			if len(f) == 0 || what == "volume" && (f[0] == "Name" || strings.HasPrefix(f[0], "---")) {
				continue
			}
			all = append(all, what+" "+f[0])
		}
	}
	files, err := os.ReadDir(h.Images())
	for _, f := range files {
		all = append(all, "file "+f.Name())
	}
	return all, errors.Join(append(errs, err)...)
}

// wantEmpty fails the test when something is left on the host, and removes it, so
// that the next test does not fail of it.
func wantEmpty(t *testing.T, h *lab.Host) {
	t.Helper()
	left, err := leftovers(h)
	if err != nil {
		t.Errorf("look for what is left: %v", err)
	}
	if len(left) == 0 {
		return
	}
	t.Errorf("left on the host: %s; want nothing", strings.Join(left, ", "))
	ctx := context.Background()
	for _, l := range left {
		what, name, _ := strings.Cut(l, " ")
		switch what {
		case "domain":
			_, _ = h.Virsh(ctx, "destroy", name)
			_, err = h.Virsh(ctx, "undefine", name, "--nvram")
		case "network":
			_, _ = h.Virsh(ctx, "net-destroy", name)
			_, err = h.Virsh(ctx, "net-undefine", name)
		case "volume":
			_, err = h.Virsh(ctx, "vol-delete", "--pool", "default", name)
		}
		if err != nil {
			t.Log(err)
		}
	}
}
