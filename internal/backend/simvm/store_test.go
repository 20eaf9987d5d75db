package simvm

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/novacron/terraform-provider-novacron/internal/fault"
	"github.com/novacron/terraform-provider-novacron/internal/spec"
)

// processEnv makes the test binary a second process on the state file: it makes
// ten VMs there and ends.
const processEnv = "SIMVM_TEST_PROCESS"

func TestMain(m *testing.M) {
	if job := os.Getenv(processEnv); job != "" {
		path, who, _ := strings.Cut(job, "|")
		d := New(Options{Path: path})
		for i := range 10 {
			if _, err := d.CreateVM(context.Background(), small(fmt.Sprintf("%s-%d", who, i))); err != nil {
				fmt.Fprintln(os.Stderr, err)
				os.Exit(1)
			}
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func TestProcessesShareAFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new", "sim.json")
	var wg sync.WaitGroup
	for _, who := range []string{"a", "b", "c"} {
		wg.Go(func() {
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), processEnv+"="+path+"|"+who)
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("process %s: %v: %s", who, err, out)
			}
		})
	}
	wg.Wait()
	list, err := New(Options{Path: path}).ListVMs(t.Context())
	if err != nil || len(list) != 30 {
		t.Errorf("ListVMs() = %d VMs, %v; want the 30 of three processes", len(list), err)
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(path), "*.tmp-*")); len(left) > 0 {
		t.Errorf("temporary files are left: %q", left)
	}
}

func TestStateThatCannotBeUsedIsNamedAndKept(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sim.json")
	d := New(Options{Path: path})
	if _, err := d.CreateVM(t.Context(), small("web")); err != nil {
		t.Fatal(err)
	}
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for name, damage := range map[string]string{
		"empty":             "",
		"cut in half":       string(good[:len(good)/2]),
		"of the future":     strings.Replace(string(good), `"schema": 1`, `"schema": 2`, 1),
		"without platform":  `{"schema": 1, "platform": null}`,
		"without VMs":       `{"schema": 1, "platform": {"VMs": null}}`,
		"with a hollow VM":  `{"schema": 1, "platform": {"VMs": {"x": null}}}`,
		"with a hollow net": `{"schema": 1, "platform": {"Networks": {"x": {"UUID": "y"}}}}`,
		"of something else": `[1, 2, 3]`,
	} {
		if err := os.WriteFile(path, []byte(damage), 0o644); err != nil {
			t.Fatal(err)
		}
		_, err := d.CreateVM(t.Context(), small("other"))
		if fault.KindOf(err) != fault.Invalid || !strings.Contains(err.Error(), path) || fault.HintOf(err) == "" {
			t.Errorf("CreateVM on a state %s = %v (%s); want Invalid with the path and a hint", name, err, fault.KindOf(err))
		}
		if now, _ := os.ReadFile(path); string(now) != damage {
			t.Errorf("the state %s was overwritten", name)
		}
	}
	if err := os.WriteFile(path, good, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := d.FindVM(t.Context(), "web"); err != nil {
		t.Errorf("FindVM on the restored state = %v", err)
	}
}

func TestStateThatCannotBeReachedIsUnavailable(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "file", "sim.json")
	_, err := New(Options{Path: path}).VM(t.Context(), "x")
	if fault.KindOf(err) != fault.Unavailable || !strings.Contains(err.Error(), path) {
		t.Errorf("VM below a file = %v (%s); want Unavailable with the path", err, fault.KindOf(err))
	}
}

func TestSecretsStayOutOfTheState(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sim.json")
	vm := small("web")
	vm.CloudInit, vm.SSHKeys = &spec.CloudInit{UserData: "password: hunter2"}, []string{"ssh-ed25519 KEYKEY"}
	if _, err := New(Options{Path: path}).CreateVM(t.Context(), vm); err != nil {
		t.Fatal(err)
	}
	state, err := os.ReadFile(path)
	if err != nil || strings.Contains(string(state), "hunter2") || strings.Contains(string(state), "KEYKEY") || !strings.Contains(string(state), vm.SeedDigest()) {
		t.Errorf("the state (%v) has the seed's contents, or not its digest:\n%s", err, state)
	}
}
