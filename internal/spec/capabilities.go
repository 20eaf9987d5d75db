package spec

import "slices"

// Capabilities is what a target can do, as data: known without a connection, so
// that what is missing is refused in the plan.
type Capabilities struct {
	Platform    string // "libvirt", "sim"
	DefaultPool string // where volumes and disks live that name no pool; "" where only the platform knows

	DirectBoot     bool     // kernel, initrd and cmdline
	CloudInit      bool     // a seed for the guest
	UserNetworking bool     // a NIC without a network, with forwarded ports
	NetworkModes   []string // empty: no networks at all
	VolumeFormats  []string
	VolumeUpload   bool // volumes from a source
	VolumeBacking  bool // overlays
	VolumeGrow     bool // a volume grows in place, whether or not it is in use

	Why map[string]string // for a power that is missing: the reason and the remedy, by the field name above
}

// HasNetworkMode reports whether networks of the mode can be made.
func (c *Capabilities) HasNetworkMode(mode string) bool {
	return slices.Contains(c.NetworkModes, mode)
}

// HasVolumeFormat reports whether volumes of the format can be made.
func (c *Capabilities) HasVolumeFormat(format string) bool {
	return slices.Contains(c.VolumeFormats, format)
}
