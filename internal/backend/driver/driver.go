// Package driver is the contract between the portable backend and a platform.
//
// The backend validates, fills in defaults, waits for guests and words errors;
// a driver stays dumb: it maps one call to its platform and the platform's
// errors to kinds of fault. The rules that every driver obeys, proven for each
// by the suite in drivertest:
//
//   - A call that ends because its context ended returns fault.Canceled or
//     fault.Unavailable and leaves nothing that the same call, made again, would
//     not find and finish.
//   - Create is find first: an object that carries the identity (UUID) of the
//     request is ours, is completed where it is unfinished, and is returned. An
//     object with the same name and another identity is fault.Conflict.
//   - Delete of what is not there is not an error, and deletes what an earlier,
//     interrupted delete left over.
//   - Only the platform's own word that an object does not exist is
//     fault.NotFound. A connection that fails is fault.Unavailable.
//   - What Capabilities does not declare returns fault.Unsupported.
//   - Reading returns configuration as the platform will use it at the next
//     start, and status as it is now.
//   - Methods may be called from many goroutines at once.
package driver

import (
	"context"

	"github.com/novacron/terraform-provider-novacron/internal/change"
	"github.com/novacron/terraform-provider-novacron/internal/spec"
)

// Driver is one target on one platform. Constructors of drivers never connect.
type Driver interface {
	// Capabilities tells what the target can do. It needs no connection and
	// always answers the same.
	Capabilities() spec.Capabilities

	// Check connects and reports whether the target can be used at all. Its
	// warnings are facts that the user should hear once, in plain words.
	Check(ctx context.Context) (warnings []string, err error)

	VMs
	Volumes
	Networks

	// Close ends all connections. Calls in flight fail.
	Close() error
}

// VMs is the part of a driver that makes and keeps virtual machines. id is the
// VM's UUID.
type VMs interface {
	// CreateVM makes the VM with all that it owns (disks, seed) and brings it to
	// its wanted power state. When it fails before the guest could have started,
	// nothing is left; what a crash leaves, CreateVM called again completes.
	CreateVM(ctx context.Context, vm spec.VM) (spec.VMInfo, error)

	// VM returns the VM.
	VM(ctx context.Context, id string) (spec.VMInfo, error)

	// FindVM returns the VM that has the name on this target, whoever made it.
	FindVM(ctx context.Context, name string) (spec.VMInfo, error)

	// ListVMs returns all VMs of the target in no particular order.
	ListVMs(ctx context.Context) ([]spec.VMInfo, error)

	// UpdateVM makes the VM as wanted. plan is what change.VM said of the step
	// from the present VM: live operations come first, then the definition,
	// then one restart at most. A VM that is stopped is not started by a
	// restart. On failure the last good definition is in force again.
	UpdateVM(ctx context.Context, want spec.VM, plan change.Plan, off spec.Shutdown) (spec.VMInfo, error)

	// StartVM starts the VM and returns once it runs. Starting a VM that runs is
	// not an error.
	StartVM(ctx context.Context, id string) error

	// StopVM powers the VM off as off says and returns once it is off. Stopping
	// a VM that is off is not an error.
	StopVM(ctx context.Context, id string, off spec.Shutdown) error

	// DeleteVM removes the VM and what it owns. The VM is off by then: a running
	// one is fault.Busy. Volumes that the VM only uses stay.
	DeleteVM(ctx context.Context, id string) error
}

// Volumes is the part of a driver that keeps disk images. id is "pool/name".
type Volumes interface {
	// CreateVolume makes the volume and fills it from its source. A failed fill
	// leaves no volume.
	CreateVolume(ctx context.Context, v spec.Volume) (spec.VolumeInfo, error)

	// Volume returns the volume. The UUID and Owner are known only of volumes
	// that are ours.
	Volume(ctx context.Context, id string) (spec.VolumeInfo, error)

	// GrowVolume makes the volume at least size large, in use or not. A volume
	// that is larger already is left alone.
	GrowVolume(ctx context.Context, id string, size spec.Size) error

	// VolumeUsers returns what needs the volume: "VM web-1", "volume default/x".
	VolumeUsers(ctx context.Context, id string) ([]string, error)

	// DeleteVolume removes the volume. One that is needed is fault.Busy.
	DeleteVolume(ctx context.Context, id string) error
}

// Networks is the part of a driver that keeps virtual networks. id is the
// network's UUID.
type Networks interface {
	// CreateNetwork makes the network and starts it.
	CreateNetwork(ctx context.Context, n spec.Network) (spec.NetworkInfo, error)

	// Network returns the network.
	Network(ctx context.Context, id string) (spec.NetworkInfo, error)

	// FindNetwork returns the network that has the name on this target.
	FindNetwork(ctx context.Context, name string) (spec.NetworkInfo, error)

	// DeleteNetwork stops and removes the network. One that a running VM is on
	// is fault.Busy.
	DeleteNetwork(ctx context.Context, id string) error
}

// Reacher is implemented by drivers some of whose guests are not reached at an
// address of their own (user networking).
type Reacher interface {
	// ReachVM returns nil once something in the guest accepts TCP connections on
	// the port. fault.Busy means not yet; fault.Invalid that it never will with
	// the interfaces that the VM has.
	ReachVM(ctx context.Context, id string, port uint16) error
}
