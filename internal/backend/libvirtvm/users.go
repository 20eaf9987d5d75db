package libvirtvm

import (
	"context"
	"fmt"
	"slices"
	"strings"

	libvirt "github.com/digitalocean/go-libvirt"
	"libvirt.org/go/libvirtxml"

	"github.com/novacron/terraform-provider-novacron/internal/backend/libvirtvm/domxml"
	"github.com/novacron/terraform-provider-novacron/internal/fault"
	"github.com/novacron/terraform-provider-novacron/internal/spec"
)

// VolumeUsers returns the VMs that have the volume as a disk and the volumes
// that are overlays of it.
func (d *Driver) VolumeUsers(ctx context.Context, id string) ([]string, error) {
	var users []string
	err := d.conn.Do(ctx, func(l *libvirt.Libvirt) error {
		vol, v, err := d.lookupVolume(l, id)
		if err != nil {
			return err
		}
		users, err = volumeUsers(l, vol, v.Path, "")
		return err
	})
	return users, err
}

// volumeUsers is VolumeUsers of a volume that was found, not counting the domain
// called except.
func volumeUsers(l *libvirt.Libvirt, vol libvirt.StorageVol, path, except string) ([]string, error) {
	doms, _, err := l.ConnectListAllDomains(1, 0)
	if err != nil {
		return nil, err
	}
	var users []string
	for _, dom := range doms {
		if dom.Name == except {
			continue
		}
		needs, err := domainNeeds(l, dom, vol, path)
		if err != nil {
			return nil, err
		}
		if needs {
			users = append(users, fmt.Sprintf("VM %q", dom.Name))
		}
	}
	overlays, err := overlaysOf(l, path)
	return append(users, overlays...), err
}

// domainNeeds reports whether the domain has the volume as a disk or below one:
// at its next start, or now, when a running one was given it for this run only.
func domainNeeds(l *libvirt.Libvirt, dom libvirt.Domain, vol libvirt.StorageVol, path string) (bool, error) {
	definitions := []libvirt.DomainXMLFlags{libvirt.DomainXMLInactive}
	if dom.ID >= 0 { // it runs
		definitions = append(definitions, 0)
	}
	for _, flags := range definitions {
		disks, err := disksOf(l, dom, flags)
		if is(err, libvirt.ErrNoDomain) {
			return false, nil // gone since the listing
		}
		if err != nil {
			return false, err
		}
		if slices.ContainsFunc(disks, func(el libvirtxml.DomainDisk) bool { return domxml.Needs(el, vol.Pool, vol.Name, path) }) {
			return true, nil
		}
	}
	return false, nil
}

// disksOf returns the disks in a definition of the domain.
func disksOf(l *libvirt.Libvirt, dom libvirt.Domain, flags libvirt.DomainXMLFlags) ([]libvirtxml.DomainDisk, error) {
	doc, err := l.DomainGetXMLDesc(dom, flags)
	if err != nil {
		return nil, err
	}
	p, err := domxml.Parse(doc)
	if err != nil {
		return nil, err
	}
	return p.Domain.Devices.Disks, nil
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

// runningWith returns the running domain that has the volume as a disk, and the
// disk's name.
func runningWith(l *libvirt.Libvirt, vol libvirt.StorageVol, path string) (*libvirt.Domain, string, error) {
	doms, _, err := l.ConnectListAllDomains(1, libvirt.ConnectListDomainsActive)
	if err != nil {
		return nil, "", err
	}
	for _, dom := range doms {
		disks, err := disksOf(l, dom, 0)
		if is(err, libvirt.ErrNoDomain) {
			continue // gone since the listing
		}
		if err != nil {
			return nil, "", err
		}
		for _, el := range disks {
			if domxml.Opens(el, vol.Pool, vol.Name, path) && el.Target != nil {
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
	users, err := volumeUsers(l, vol, v.Path, except)
	if err != nil {
		return err
	}
	if len(users) > 0 {
		return fault.Errorf(fault.Busy, "volume %q is needed by %s", spec.VolumeID(vol.Pool, vol.Name), strings.Join(users, ", "))
	}
	return deleteIfThere(l, vol)
}
