//go:build !linux || !amd64

package kvmprobe

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"time"
)

func probe(_ context.Context, path string, _ time.Duration) Result {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return Result{Reason: fmt.Sprintf("KVM cannot be opened: %v.", err), Denied: errors.Is(err, os.ErrPermission)}
	}
	f.Close()
	return Result{Usable: true, Reason: fmt.Sprintf("%s opens; whether it runs guests was not probed on %s/%s.", path, runtime.GOOS, runtime.GOARCH)}
}
