//go:build linux

package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"time"

	"github.com/novacron/terraform-provider-novacron/internal/lab"
)

// terraform runs the provider under the real terraform.
type terraform struct {
	dir string
	env []string
}

func newTerraform(ctx context.Context, host *lab.Host, dir, bin string) (*terraform, error) {
	provider, err := filepath.Abs(filepath.Join(bin, "terraform-provider-novacron"))
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(provider); err != nil {
		return nil, fmt.Errorf("%w (make build makes it)", err)
	}
	mirror := filepath.Join(dir, "mirror")
	place := filepath.Join(mirror, "registry.terraform.io/novacron/novacron/0.0.1", runtime.GOOS+"_"+runtime.GOARCH)
	if err := os.MkdirAll(place, 0o755); err != nil {
		return nil, err
	}
	if err := os.Symlink(provider, filepath.Join(place, "terraform-provider-novacron_v0.0.1")); err != nil {
		return nil, err
	}
	cli := filepath.Join(dir, "terraform.rc")
	if err := write(cli, fmt.Sprintf("provider_installation {\n  filesystem_mirror {\n    path = %q\n  }\n}\n", mirror)); err != nil {
		return nil, err
	}
	t := &terraform{dir: filepath.Join(dir, "work"), env: append(os.Environ(), host.Env()...)}
	t.env = append(t.env, "TF_CLI_CONFIG_FILE="+cli, "CHECKPOINT_DISABLE=1", "TF_IN_AUTOMATION=1")
	if err := write(filepath.Join(t.dir, "main.tf"), config(1)); err != nil {
		return nil, err
	}
	_, _, err = t.run(ctx, "init", "-input=false")
	return t, err
}

// do runs a step on n VMs and returns its wall time and the CPU time of
// terraform and its providers.
func (t *terraform) do(ctx context.Context, step string, n int) (wall, cpu time.Duration, err error) {
	if err := write(filepath.Join(t.dir, "main.tf"), config(n)); err != nil {
		return 0, 0, err
	}
	args := []string{step, "-input=false", "-no-color", "-parallelism=10"}
	if step != "plan" {
		args = append(args, "-auto-approve")
	}
	return t.run(ctx, args...)
}

func (t *terraform) run(ctx context.Context, args ...string) (wall, cpu time.Duration, err error) {
	cmd := exec.CommandContext(ctx, "terraform", args...)
	cmd.Dir, cmd.Env = t.dir, t.env
	start := time.Now()
	out, err := cmd.CombinedOutput()
	wall = time.Since(start)
	if err != nil {
		return wall, 0, fmt.Errorf("terraform %s: %w\n%s", args[0], err, out)
	}
	return wall, cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(), nil
}
