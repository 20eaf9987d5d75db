package kvmprobe

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// probe is Probe with the device and the time limit open to tests.
func probe(ctx context.Context, path string, limit time.Duration) Result {
	if err := ctx.Err(); err != nil {
		return Result{Reason: fmt.Sprintf("KVM was not probed: %v.", err)}
	}
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return Result{Reason: openReason(path, err), Denied: errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPERM)}
	}
	defer unix.Close(fd)
	m, err := newMachine(fd)
	if err != nil {
		return Result{Reason: fmt.Sprintf("%s opens, but no guest can be created on it: %v.", path, err)}
	}
	defer m.close()
	return run(ctx, m, limit)
}

// openReason explains why the device did not open.
func openReason(path string, err error) string {
	switch {
	case errors.Is(err, unix.ENOENT):
		return fmt.Sprintf("This machine has no %s.", path)
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM):
		return fmt.Sprintf("%s may not be opened by this user; add the user to the group that owns it (usually kvm).", path)
	case errors.Is(err, unix.ENXIO), errors.Is(err, unix.ENODEV):
		return fmt.Sprintf("%s exists, but no KVM module of the kernel is behind it.", path)
	}
	return fmt.Sprintf("%s cannot be opened: %v.", path, err)
}

// run lets the guest run on a locked thread and interrupts it at the limit, so
// that a guest that never ends does not keep a thread in the kernel.
func run(ctx context.Context, m *machine, limit time.Duration) Result {
	ctx, cancel := context.WithTimeoutCause(ctx, limit, errTooSlow)
	defer cancel()
	started := time.Now()
	tid, done := make(chan int, 1), make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		tid <- unix.Gettid()
		done <- m.run()
	}()
	thread := <-tid
	select {
	case err := <-done:
		return verdict(err, time.Since(started))
	case <-ctx.Done():
	}
	m.interrupt(thread, done)
	if cause := context.Cause(ctx); !errors.Is(cause, errTooSlow) {
		return Result{Reason: fmt.Sprintf("KVM was not probed to the end: %v.", cause)}
	}
	return verdict(errTooSlow, limit)
}

var errTooSlow = errors.New("the guest did not end in time")

// verdict puts the end of the guest into words.
func verdict(err error, took time.Duration) Result {
	switch {
	case err == nil:
		return Result{Usable: true, Reason: fmt.Sprintf("KVM ran a test guest in %v.", took.Round(100*time.Microsecond))}
	case errors.Is(err, errTooSlow):
		return Result{Reason: fmt.Sprintf("%s is present but does not run guests at the speed of hardware: a loop of milliseconds did not end in %v.", DevicePath, took)}
	}
	return Result{Reason: fmt.Sprintf("%s is present but cannot run guests: %v.", DevicePath, err)}
}
