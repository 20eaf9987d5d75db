package spec

// Target is a place that runs VMs. Exactly one of the platform blocks is set.
type Target struct {
	Name    string
	Libvirt *LibvirtTarget
	Sim     *SimTarget
}

// LibvirtTarget is a libvirt host.
type LibvirtTarget struct {
	URI      string // libvirt connection URI
	Pool     string // storage pool of volumes that name none; "" is "default"
	VirtType string // "kvm", "qemu", or "" for kvm where it can run guests and qemu (TCG) elsewhere
}

// SimTarget is a simulated platform.
type SimTarget struct {
	Path string // file that keeps its state; "" keeps it in memory
}

// Kind returns the platform of the target, or "" when none is set.
func (t Target) Kind() string {
	switch {
	case t.Libvirt != nil:
		return "libvirt"
	case t.Sim != nil:
		return "sim"
	}
	return ""
}
