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
//     request is ours, is completed where it is unfinished or says something
//     else than the request, and is returned. An object with the same name and
//     another identity is fault.Conflict at the field "name" (a platform whose
//     volumes carry their identity in their id may hold both), and is never
//     touched.
//   - A create that the platform refuses leaves nothing that it made; what was
//     there before stays.
//   - Delete of what is not there is not an error, and deletes what earlier,
//     interrupted calls left over, of a create or an update as well.
//   - Only the platform's own word that an object does not exist is
//     fault.NotFound. A connection that fails, or that was closed, is
//     fault.Unavailable.
//   - fault.NotFound speaks of the object itself only when it carries no field.
//     A request that refers to what does not exist is fault.NotFound at the
//     field that refers: "pool", "backing", "disks.root.pool",
//     "disks.data.volume", "nics.lan.network". It is refused before anything
//     is done.
//   - What Capabilities does not declare returns fault.Unsupported at the
//     field that asks for it, before anything is done.
//   - Reading returns configuration as the platform will use it at the next
//     start, and status as it is now. What was left to the platform (a pool, a
//     bus, a MAC address) reads as what it chose; a seed reads as its digest.
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

	// Close ends all connections. Calls in flight fail, and so does every later one.
	Close() error
}

// VMs is the part of a driver that makes and keeps virtual machines. id is the
// VM's UUID.
type VMs interface {
	// CreateVM makes the VM with all that it owns (disks, seed) and brings it to
	// its wanted power state. When it fails before the guest could have started,
	// nothing that it made is left; what a crash leaves, CreateVM called again
	// completes. One that is found running with another definition is updated to
	// the request, with a restart where change.VM says so.
	CreateVM(ctx context.Context, vm spec.VM) (spec.VMInfo, error)

	// VM returns the VM.
	VM(ctx context.Context, id string) (spec.VMInfo, error)

	// FindVM returns the VM that has the name on this target, whoever made it.
	FindVM(ctx context.Context, name string) (spec.VMInfo, error)

	// ListVMs returns all VMs of the target in no particular order.
	ListVMs(ctx context.Context) ([]spec.VMInfo, error)

	// UpdateVM makes the VM as wanted; a nil map in want leaves what is there.
	// plan is what change.VM said of the step from the present VM. Live
	// operations come first. Where the plan holds a reboot the guest is then
	// stopped as off says; then the definition is put in force; then the VM is
	// started if it shall run. The definition never comes before the stop: a
	// crash between the two would leave a guest on the old one, and since
	// reading tells the definition, nobody could see it. A VM that shall be
	// stopped is not started. A transient VM is made permanent, also by an empty
	// plan. On failure the last good definition is in force again, and a guest
	// that was stopped for the update runs again.
	//
	// A disk smaller than it is is fault.Invalid at its size. A plan of class
	// Replace is fault.Invalid.
	UpdateVM(ctx context.Context, want spec.VM, plan change.Plan, off spec.Shutdown) (spec.VMInfo, error)

	// StartVM starts the VM and returns once it runs. Starting a VM that runs is
	// not an error.
	StartVM(ctx context.Context, id string) error

	// StopVM powers the VM off as off says and returns once it is off. Stopping
	// a VM that is off is not an error. A guest that does not obey in time and
	// may not be forced is fault.Busy, and keeps running.
	StopVM(ctx context.Context, id string, off spec.Shutdown) error

	// DeleteVM removes the VM and what it owns. The VM is off by then: a running
	// one is fault.Busy. Volumes that the VM only uses stay.
	DeleteVM(ctx context.Context, id string) error
}

// Volumes is the part of a driver that keeps disk images. id is "pool/name".
type Volumes interface {
	// CreateVolume makes the volume and fills it from its source. A failed fill
	// leaves no volume. A source that cannot be read is fault.Invalid at
	// "source.file", one whose contents are not of the volume's format at
	// "format"; a size smaller than what is in the source or the backing volume
	// is fault.Invalid at "size".
	CreateVolume(ctx context.Context, v spec.Volume) (spec.VolumeInfo, error)

	// Volume returns the volume. Its UUID and Owner are known only where the
	// platform keeps them; CreateVolume always returns them.
	Volume(ctx context.Context, id string) (spec.VolumeInfo, error)

	// GrowVolume makes the volume at least size large, in use or not. A volume
	// that is larger already is left alone. Its field is "size".
	GrowVolume(ctx context.Context, id string, size spec.Size) error

	// VolumeUsers returns what needs the volume: "VM web-1", "volume default/x".
	VolumeUsers(ctx context.Context, id string) ([]string, error)

	// DeleteVolume removes the volume. One that is needed is fault.Busy.
	DeleteVolume(ctx context.Context, id string) error
}

// Networks is the part of a driver that keeps virtual networks. id is the
// network's UUID.
type Networks interface {
	// CreateNetwork makes the network and starts it: also one that is there and
	// was stopped.
	CreateNetwork(ctx context.Context, n spec.Network) (spec.NetworkInfo, error)

	// Network returns the network.
	Network(ctx context.Context, id string) (spec.NetworkInfo, error)

	// FindNetwork returns the network that has the name on this target.
	FindNetwork(ctx context.Context, name string) (spec.NetworkInfo, error)

	// DeleteNetwork stops and removes the network. One that a running VM is on
	// is fault.Busy.
	DeleteNetwork(ctx context.Context, id string) error
}

// Prechecker is implemented by drivers that can tell on this machine, without
// connecting, that something which is to be made cannot be: by looking at files.
// Such an answer comes with the plan. Errors are those of CreateVM and
// CreateVolume.
type Prechecker interface {
	PrecheckVM(vm spec.VM) error
	PrecheckVolume(v spec.Volume) error
}

// Reacher is implemented by drivers some of whose guests are not reached at an
// address of their own (user networking, or a simulated guest).
type Reacher interface {
	// ReachVM returns nil once something in the guest accepts TCP connections on
	// the port. fault.Busy means not yet; fault.Invalid that no interface leads
	// there, and fault.Unsupported that none can be used from here: the guest's
	// own address, if it has one, is then the only way.
	ReachVM(ctx context.Context, id string, port uint16) error
}
