// Package kvmprobe tells whether /dev/kvm can run a guest, by running one.
//
// The presence of /dev/kvm proves little: in some nested and container
// environments the device opens, a virtual machine is created, and its
// processor then crawls because the kernel emulates every instruction, so that
// real guests hang in their firmware. The probe therefore runs a few
// instructions on a virtual processor and requires them to run at the speed of
// hardware.
package kvmprobe

import (
	"context"
	"time"
)

// DevicePath is the device that the probe opens.
const DevicePath = "/dev/kvm"

// limit is how long the guest of the probe may run. Hardware needs a few
// milliseconds; a kernel that emulates needs seconds.
const limit = 500 * time.Millisecond

// Result is the answer of a probe.
type Result struct {
	Usable bool
	Denied bool // the caller may not open the device: others, such as QEMU, may
	// Reason is a plain sentence for a log or a warning: why KVM is not
	// usable, or how it was found to be.
	Reason string
}

// Probe runs a tiny guest on /dev/kvm and reports whether it worked.
//
// It takes milliseconds where KVM works and at most a little over half a second
// where it does not. It leaves no process, thread or open file behind. It may
// be called from many goroutines; every call runs a guest of its own, so
// callers keep the answer. When ctx ends first the answer is "not usable".
func Probe(ctx context.Context) Result {
	return probe(ctx, DevicePath, limit)
}
