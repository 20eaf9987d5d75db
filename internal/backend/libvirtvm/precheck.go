package libvirtvm

import "github.com/novacron/terraform-provider-novacron/internal/spec"

// PrecheckVM refuses what the connection cannot do and, where this machine is the
// host, a kernel or initial RAM disk that is not there.
func (d *Driver) PrecheckVM(vm spec.VM) error { return d.refuse(vm) }

// PrecheckVolume refuses a source that cannot be read, is of another format or
// does not fit.
func (d *Driver) PrecheckVolume(v spec.Volume) error {
	_, err := inspect(v)
	return err
}
