// Command setup looks for the programs that the demonstration and the tests
// use, and installs the missing ones from the distribution's packages.
//
// It is what make runs first:
//
//	go run ./internal/cmd/setup [demo|test]
//
// On Debian, Ubuntu and their relatives it installs with apt-get, by sudo when
// it is not root. Elsewhere it names the packages and ends with status 2, as
// it does whenever somebody has to do something first. It starts and stops no
// service; a package that starts its service while it is installed does so.
package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
)

// The statuses that setup ends with.
const (
	statusReady  = 0
	statusFailed = 1
	statusAsk    = 2 // the user has to do something first
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	purpose := forDemo
	switch args := os.Args[1:]; {
	case len(args) == 0, len(args) == 1 && args[0] == "demo":
	case len(args) == 1 && args[0] == "test":
		purpose = forTest
	default:
		fmt.Fprintln(os.Stderr, "usage: setup [demo|test]")
		os.Exit(statusAsk)
	}
	os.Exit(setup(ctx, thisMachine{}, purpose, func(format string, args ...any) { fmt.Printf(format+"\n", args...) }))
}

// thisMachine is the machine that setup runs on.
type thisMachine struct{}

func (thisMachine) root() bool { return os.Geteuid() == 0 }

func (thisMachine) osRelease() string {
	for _, path := range []string{"/etc/os-release", "/usr/lib/os-release"} {
		if b, err := os.ReadFile(path); err == nil {
			return string(b)
		}
	}
	return ""
}

// program looks where root's programs are as well: ordinary users often do not
// have those directories in their path.
func (thisMachine) program(name string) (string, bool) {
	if path, err := exec.LookPath(name); err == nil {
		return path, true
	}
	for _, dir := range []string{"/usr/local/sbin", "/usr/sbin", "/sbin"} {
		if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return path, true
		}
	}
	return "", false
}

func (thisMachine) file(pattern string) (string, bool) {
	found, err := filepath.Glob(pattern)
	if err != nil || len(found) == 0 {
		return "", false
	}
	return found[0], true
}

func (thisMachine) run(ctx context.Context, argv []string) error {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w", strings.Join(argv, " "), err)
	}
	return nil
}
