//go:build unix

package novacron

import (
	"os"
	"syscall"
)

// claim takes the lock or fails at once. The system gives it back when the file
// is closed or the process dies, however it dies.
func claim(f *os.File) error {
	return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
}
