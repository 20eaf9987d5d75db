//go:build linux

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// stopLimit is how long a process may take to end by itself.
const stopLimit = 10 * time.Second

// daemon identifies a process that outlives this one. Process IDs are used
// again, so the executable is kept too.
type daemon struct {
	PID int
	Exe string
}

// startProcess starts a program that outlives this one and writes its output to
// log and who it is to pidFile.
func startProcess(pidFile, log string, env []string, program string, args ...string) error {
	out, err := os.Create(log)
	if err != nil {
		return err
	}
	defer out.Close()
	cmd := exec.Command(program, args...)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.Env = append(os.Environ(), env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", program, err)
	}
	go func() { _ = cmd.Wait() }() // reaped while this process lives; later it is init's
	b, err := json.Marshal(daemon{cmd.Process.Pid, cmd.Path})
	if err != nil {
		return err
	}
	return os.WriteFile(pidFile, b, 0o644)
}

// alive reports whether the process runs and is the one that was started.
func (p daemon) alive() bool {
	exe, err := os.Readlink(filepath.Join("/proc", strconv.Itoa(p.PID), "exe"))
	if err != nil {
		return false
	}
	want, err := filepath.EvalSymlinks(p.Exe)
	return err == nil && exe == want
}

// stopProcess ends what startProcess started. One that is gone is fine.
func stopProcess(pidFile string) error {
	b, err := os.ReadFile(pidFile)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var p daemon
	if err := json.Unmarshal(bytes.TrimSpace(b), &p); err != nil {
		return fmt.Errorf("%s: %w", pidFile, err)
	}
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		for deadline := time.Now().Add(stopLimit); p.alive(); {
			if err := syscall.Kill(p.PID, sig); err != nil && !errors.Is(err, syscall.ESRCH) {
				return fmt.Errorf("stop process %d: %w", p.PID, err)
			}
			if time.Now().After(deadline) {
				break
			}
			time.Sleep(100 * time.Millisecond)
		}
	}
	if p.alive() {
		return fmt.Errorf("process %d (%s) does not end", p.PID, p.Exe)
	}
	return os.Remove(pidFile)
}
