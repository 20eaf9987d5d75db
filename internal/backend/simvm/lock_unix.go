//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package simvm

import (
	"context"
	"errors"
	"os"
	"syscall"
	"time"
)

// lock holds the file exclusively among all processes and among all callers in
// this one, until unlock; the kernel lets go of it when the process dies.
func lock(ctx context.Context, path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	for wait := time.Millisecond; ; wait = min(2*wait, 20*time.Millisecond) {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return func() { f.Close() }, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
			f.Close()
			return nil, err
		}
		if err := sleep(ctx, wait); err != nil {
			f.Close()
			return nil, err
		}
	}
}
