//go:build linux

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

// mirrorPath is where a Terraform file system mirror has a provider's program.
const mirrorPath = "mirror/registry.terraform.io/novacron/novacron/0.0.1"

func (d *demo) stateFile() string { return filepath.Join(d.dir, "scenario", "terraform.tfstate") }

// apply copies the scenario, installs the built provider from a mirror in the
// demonstration's directory, and applies.
func (d *demo) apply(ctx context.Context, image string) error {
	scenario := filepath.Join(d.dir, "scenario")
	if err := os.CopyFS(scenario, os.DirFS(d.scenario)); err != nil {
		return fmt.Errorf("copy the scenario: %w", err)
	}
	mirror := filepath.Join(d.dir, mirrorPath, runtime.GOOS+"_"+runtime.GOARCH)
	if err := os.MkdirAll(mirror, 0o755); err != nil {
		return err
	}
	program := filepath.Join(d.bin, "terraform-provider-novacron")
	if err := os.Symlink(program, filepath.Join(mirror, "terraform-provider-novacron_v0.0.1")); err != nil {
		return err
	}
	cli := fmt.Sprintf("provider_installation {\n  filesystem_mirror {\n    path = %q\n  }\n}\n", filepath.Join(d.dir, "mirror"))
	if err := os.WriteFile(d.cliConfig(), []byte(cli), 0o644); err != nil {
		return err
	}
	vars := map[string]any{"image": image, "cidr": nil}
	if system() {
		vars["cidr"] = d.host.Subnet(1) + ".0/24"
	}
	b, err := json.Marshal(vars)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(scenario, "demo.auto.tfvars.json"), b, 0o644); err != nil {
		return err
	}
	if err := d.terraform(ctx, "init", "-input=false", "-no-color"); err != nil {
		return err
	}
	if err := d.terraform(ctx, "apply", "-auto-approve", "-input=false", "-no-color", "-compact-warnings"); err != nil {
		return err
	}
	return d.readOutputs(ctx)
}

func (d *demo) destroy(ctx context.Context) error {
	return d.terraform(ctx, "destroy", "-auto-approve", "-input=false", "-no-color", "-compact-warnings")
}

func (d *demo) cliConfig() string { return filepath.Join(d.dir, "terraform.rc") }

func (d *demo) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "terraform", args...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.Dir = filepath.Join(d.dir, "scenario")
	cmd.Env = append(os.Environ(), d.host.Env()...)
	cmd.Env = append(cmd.Env, "TF_CLI_CONFIG_FILE="+d.cliConfig(), "CHECKPOINT_DISABLE=1", "TF_IN_AUTOMATION=1")
	return cmd
}

// terraform runs a command and shows the lines of its output that tell what it
// does; all of it when it fails.
func (d *demo) terraform(ctx context.Context, args ...string) error {
	cmd := d.command(ctx, args...)
	r, w := io.Pipe()
	cmd.Stdout, cmd.Stderr = w, w
	var all strings.Builder
	done := make(chan struct{})
	go func() {
		defer close(done)
		for lines := bufio.NewScanner(r); lines.Scan(); {
			fmt.Fprintln(&all, lines.Text())
			if progress(lines.Text()) {
				d.say("%s", lines.Text())
			}
		}
	}()
	err := cmd.Run()
	w.Close()
	<-done
	if err != nil {
		return fmt.Errorf("terraform %s: %w\n%s", args[0], err, all.String())
	}
	return nil
}

// progress picks the lines that a reader wants to see go by.
func progress(line string) bool {
	for _, word := range []string{": Creat", ": Destr", "Apply complete", "Destroy complete", "Installed", "Plan:"} {
		if strings.Contains(line, word) {
			return true
		}
	}
	return false
}

func (d *demo) readOutputs(ctx context.Context) error {
	cmd := d.command(ctx, "output", "-json", "urls")
	b, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("terraform output: %w", err)
	}
	return json.Unmarshal(b, &d.urls)
}
