package collect

import (
	"context"

	libvirt "github.com/digitalocean/go-libvirt"
)

// Source is one hypervisor as a collector sees it. All methods but Close may be
// called at the same time. When ctx ends they return at once with fault.Unavailable or
// fault.Canceled; a call that had reached libvirt may go on there.
type Source interface {
	// Identity returns what changes only when the host is set up anew.
	Identity(ctx context.Context) (Identity, error)

	// Node returns the host's CPU time and memory.
	Node(ctx context.Context) (Node, error)

	// Stats returns the statistics of the domains that doms names, or of all
	// with an empty doms; a domain that no longer exists is left out. It never
	// queues: a domain whose monitor somebody else occupies comes back with
	// what needs no monitor.
	Stats(ctx context.Context, doms []libvirt.Domain, groups libvirt.DomainStatsTypes) ([]libvirt.DomainStatsRecord, error)

	// Control says what the connection between libvirt and the domain's
	// hypervisor process is doing. It never waits for that process.
	Control(ctx context.Context, dom libvirt.Domain) (Control, error)

	// XML returns the definition of the domain as it runs.
	XML(ctx context.Context, dom libvirt.Domain) (string, error)

	// Usage returns what the source has cost so far.
	Usage() Usage

	// Close ends the source and every call that waits in it.
	Close() error
}

// Identity is who a host is.
type Identity struct {
	Hostname          string `json:"hostname"`
	LibvirtVersion    uint64 `json:"libvirt_version"` // major*1e6 + minor*1e3 + release
	HypervisorVersion uint64 `json:"hypervisor_version"`
	CPUs              uint64 `json:"cpus"` // logical CPUs
}

// Node is the load of a host. CPU holds nanoseconds summed over the CPUs and
// Memory KiB, both under libvirt's names; what libvirt does not know is absent.
type Node struct {
	CPU    map[string]uint64 `json:"cpu"`
	Memory map[string]uint64 `json:"memory"`
}

// Control is the answer of virDomainGetControlInfo.
type Control struct {
	State libvirt.DomainControlState `json:"state"`
	MS    uint64                     `json:"ms"` // for how long
}

// Usage counts what a source did since it was made.
type Usage struct {
	Calls uint64 `json:"calls"` // requests sent to libvirt
	Dials uint64 `json:"dials"` // connections opened
	Open  int    `json:"open"`  // connections open now
}
