package guest

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/novacron/terraform-provider-novacron/internal/fault"
)

// dependencies returns the packages that a package depends on, the first
// alternative of each; none when apt does not know the package.
func dependencies(ctx context.Context, name string) ([]string, error) {
	out, err := run(ctx, "", "apt-cache", "show", "--no-all-versions", name)
	if err != nil {
		if fault.KindOf(err) == fault.Unknown {
			return nil, nil // apt-cache says so by its exit status
		}
		return nil, err
	}
	return parseDepends(out), nil
}

// parseDepends reads the names from the Depends field of a package record.
func parseDepends(record string) (names []string) {
	for line := range strings.Lines(record) {
		list, ok := strings.CutPrefix(line, "Depends:")
		if !ok {
			continue
		}
		for dep := range strings.SplitSeq(list, ",") {
			dep, _, _ = strings.Cut(dep, "|")
			if words := strings.FieldsFunc(dep, func(r rune) bool { return strings.ContainsRune(" \t\r\n(:[", r) }); len(words) > 0 {
				names = append(names, words[0])
			}
		}
		return names
	}
	return nil
}

// fetchPackage downloads a package of the distribution with its own tools,
// which verify it, and unpacks it under dir. Nothing is installed.
func fetchPackage(ctx context.Context, dir, name string) error {
	tmp, err := os.MkdirTemp(filepath.Dir(dir), "download-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	if _, err := run(ctx, tmp, "apt-get", "download", "-o", "APT::Sandbox::User=", name); err != nil {
		return fault.WithHint(fmt.Errorf("download package %s: %w", name, err),
			"Run apt-get update if apt no longer finds the package it lists.")
	}
	debs, err := filepath.Glob(filepath.Join(tmp, "*.deb"))
	if err != nil || len(debs) == 0 {
		return fault.Errorf(fault.NotFound, "download package %s: apt-get left no package file", name)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, deb := range debs {
		if _, err := run(ctx, tmp, "dpkg-deb", "--extract", deb, dir); err != nil {
			return fmt.Errorf("unpack package %s: %w", name, err)
		}
	}
	return nil
}

// run runs a program in dir and returns what it printed; its error carries
// what it complained about. A program that does not exist is NotFound.
func run(ctx context.Context, dir, program string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	var out, complaint bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaint
	err := cmd.Run()
	switch {
	case err == nil:
		return out.String(), nil
	case ctx.Err() != nil:
		return "", ctx.Err()
	case cmd.Process == nil:
		return "", fault.WithHint(fault.Errorf(fault.NotFound, "run %s: %w", program, err), "Install %s.", program)
	}
	return "", fault.Errorf(fault.Unknown, "%s: %w: %s", program, err, strings.TrimSpace(complaint.String()))
}
