//go:build !(linux || darwin || freebsd || netbsd || openbsd || dragonfly)

package simvm

import (
	"context"
	"errors"
)

// lock is not possible here: a platform that two processes could damage is not
// opened at all.
func lock(context.Context, string) (unlock func(), err error) {
	return nil, errors.New("this operating system has no file locks; leave the path out to keep the platform in memory")
}
