package libvirtvm

import (
	"context"
	"fmt"
	"strings"

	libvirt "github.com/digitalocean/go-libvirt"

	"github.com/novacron/terraform-provider-novacron/internal/backend/libvirtvm/domxml"
	"github.com/novacron/terraform-provider-novacron/internal/fault"
	"github.com/novacron/terraform-provider-novacron/internal/spec"
)

// VolumeUsers returns the VMs that have the volume as a disk and the volumes
// that are overlays of it.
func (d *Driver) VolumeUsers(ctx context.Context, id string) ([]string, error) {
	var users []string
	err := d.conn.Do(ctx, func(l *libvirt.Libvirt) error {
		_, v, err := d.lookupVolume(ctx, l, id)
		if err != nil {
			return err
		}
		users, err = volumeUsers(l, v.Path, "")
		return err
	})
	return users, err
}

// volumeUsers is VolumeUsers by path, not counting the domain called except.
func volumeUsers(l *libvirt.Libvirt, path, except string) ([]string, error) {
	doms, _, err := l.ConnectListAllDomains(1, 0)
	if err != nil {
		return nil, err
	}
	var users []string
	for _, dom := range doms {
		if dom.Name == except {
			continue
		}
		doc, err := l.DomainGetXMLDesc(dom, libvirt.DomainXMLInactive)
		if is(err, libvirt.ErrNoDomain) {
			continue
		}
		if err != nil {
			return nil, err
		}
		p, err := domxml.Parse(doc)
		if err != nil {
			return nil, err
		}
		for _, el := range p.Domain.Devices.Disks {
			if domxml.SourcePath(el) == path {
				users = append(users, fmt.Sprintf("VM %q", dom.Name))
				break
			}
		}
	}
	overlays, err := overlaysOf(l, path)
	return append(users, overlays...), err
}

// overlaysOf returns the volumes of all running pools that have the path as
// their backing file.
func overlaysOf(l *libvirt.Libvirt, path string) ([]string, error) {
	pools, _, err := l.ConnectListAllStoragePools(1, libvirt.ConnectListStoragePoolsActive)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, pool := range pools {
		vols, _, err := l.StoragePoolListAllVolumes(pool, 1, 0)
		if err != nil {
			return nil, err
		}
		for _, vol := range vols {
			v, err := describe(l, vol)
			if is(err, libvirt.ErrNoStorageVol) {
				continue
			}
			if err != nil {
				return nil, err
			}
			if v.BackingPath == path && path != "" {
				out = append(out, fmt.Sprintf("volume %q", spec.VolumeID(vol.Pool, vol.Name)))
			}
		}
	}
	return out, nil
}

// runningWith returns the running domain that has the path as the source of a
// disk, and the disk's name.
func runningWith(l *libvirt.Libvirt, path string) (*libvirt.Domain, string, error) {
	doms, _, err := l.ConnectListAllDomains(1, libvirt.ConnectListDomainsActive)
	if err != nil {
		return nil, "", err
	}
	for _, dom := range doms {
		doc, err := l.DomainGetXMLDesc(dom, 0)
		if is(err, libvirt.ErrNoDomain) {
			continue // gone since the listing
		}
		if err != nil {
			return nil, "", err
		}
		p, err := domxml.Parse(doc)
		if err != nil {
			return nil, "", err
		}
		for _, el := range p.Domain.Devices.Disks {
			if domxml.SourcePath(el) == path && el.Target != nil {
				return &dom, el.Target.Dev, nil
			}
		}
	}
	return nil, "", nil
}

// deleteUnused deletes the volume unless something other than the domain called
// except needs it.
func deleteUnused(l *libvirt.Libvirt, vol libvirt.StorageVol, except string) error {
	v, err := describe(l, vol)
	if is(err, libvirt.ErrNoStorageVol) {
		return nil
	}
	if err != nil {
		return err
	}
	users, err := volumeUsers(l, v.Path, except)
	if err != nil {
		return err
	}
	if len(users) > 0 {
		return fault.Errorf(fault.Busy, "volume %q is needed by %s", spec.VolumeID(vol.Pool, vol.Name), strings.Join(users, ", "))
	}
	return deleteIfThere(l, vol)
}
