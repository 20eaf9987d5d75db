package libvirtvm

import (
	"fmt"
	"os"
	"path/filepath"

	libvirt "github.com/digitalocean/go-libvirt"

	"github.com/novacron/terraform-provider-novacron/internal/backend/libvirtvm/domxml"
	"github.com/novacron/terraform-provider-novacron/internal/fault"
	"github.com/novacron/terraform-provider-novacron/internal/libvirtconn"
	"github.com/novacron/terraform-provider-novacron/internal/spec"
)

// poolNamed returns the pool, started. The pool "default" is made when there is
// none, where libvirt's own tools make it; any other must exist.
func (d *Driver) poolNamed(l *libvirt.Libvirt, name string) (libvirt.StoragePool, error) {
	if name == "" {
		name = d.pool
	}
	pool, err := l.StoragePoolLookupByName(name)
	if err == nil {
		return pool, d.startPool(l, pool)
	}
	if fault.KindOf(libvirtconn.Fault(err)) != fault.NotFound {
		return pool, err
	}
	if name == defaultPool && d.conn.URI().Local() && d.conn.URI().Driver == "qemu" {
		return d.makeDefaultPool(l)
	}
	err = fault.Errorf(fault.NotFound, "there is no storage pool %q: %w", name, err)
	return pool, fault.At("pool", fault.WithHint(err, "virsh pool-list --all shows the pools of the host"))
}

// startPool starts the pool unless it runs.
func (d *Driver) startPool(l *libvirt.Libvirt, pool libvirt.StoragePool) error {
	active, err := l.StoragePoolIsActive(pool)
	if err != nil || active == 1 {
		return err
	}
	d.poolMu.Lock()
	defer d.poolMu.Unlock()
	if active, err = l.StoragePoolIsActive(pool); err != nil || active == 1 {
		return err
	}
	if err := l.StoragePoolCreate(pool, 0); err != nil {
		return fmt.Errorf("start storage pool %q: %w", pool.Name, err)
	}
	return nil
}

// makeDefaultPool makes the pool that virt-manager and virt-install would.
func (d *Driver) makeDefaultPool(l *libvirt.Libvirt) (libvirt.StoragePool, error) {
	d.poolMu.Lock()
	defer d.poolMu.Unlock()
	if pool, err := l.StoragePoolLookupByName(defaultPool); err == nil {
		return pool, nil // another goroutine was faster
	}
	dir, err := d.imagesDir()
	if err != nil {
		return libvirt.StoragePool{}, err
	}
	doc, err := domxml.NewDirPool(defaultPool, dir)
	if err != nil {
		return libvirt.StoragePool{}, err
	}
	pool, err := l.StoragePoolDefineXML(doc, 0)
	if err != nil {
		return pool, fmt.Errorf("make storage pool %q: %w", defaultPool, err)
	}
	if err := l.StoragePoolBuild(pool, 0); err != nil {
		return pool, fmt.Errorf("make the directory %s of storage pool %q: %w", dir, defaultPool, err)
	}
	if err := l.StoragePoolCreate(pool, 0); err != nil {
		return pool, fmt.Errorf("start storage pool %q: %w", defaultPool, err)
	}
	return pool, l.StoragePoolSetAutostart(pool, 1)
}

// imagesDir returns where libvirt's own tools keep images.
func (d *Driver) imagesDir() (string, error) {
	if !d.conn.URI().Session() {
		return "/var/lib/libvirt/images", nil
	}
	if data := os.Getenv("XDG_DATA_HOME"); data != "" {
		return filepath.Join(data, "libvirt", "images"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("find a place for storage pool %q: %w", defaultPool, err)
	}
	return filepath.Join(home, ".local", "share", "libvirt", "images"), nil
}

// describePool returns what the pool is.
func describePool(l *libvirt.Libvirt, pool libvirt.StoragePool) (domxml.Pool, error) {
	doc, err := l.StoragePoolGetXMLDesc(pool, 0)
	if err != nil {
		return domxml.Pool{}, err
	}
	return domxml.ParsePool(doc)
}

// imagePath returns the path that an image file of the pool has or will have. A
// pool whose volumes are no files, such as LVM's, cannot hold one.
func imagePath(l *libvirt.Libvirt, pool libvirt.StoragePool, name string) (string, error) {
	p, err := describePool(l, pool)
	if err != nil {
		return "", err
	}
	switch p.Type {
	case "dir", "fs", "netfs", "vstorage":
		return filepath.Join(p.Path, name), nil
	}
	err = fault.Errorf(fault.Unsupported, "storage pool %q is of the type %s, which holds no image files", pool.Name, p.Type)
	return "", fault.At("pool", fault.WithHint(err, "name a pool of the type dir, fs or netfs"))
}

// lookupVolume returns the volume with the id and its description. A pool does
// not notice files that others put into it, so one that seems to be missing is
// looked for again after a refresh.
func (d *Driver) lookupVolume(l *libvirt.Libvirt, id string) (libvirt.StorageVol, domxml.Volume, error) {
	none := libvirt.StorageVol{}
	poolName, name, ok := spec.SplitVolumeID(id)
	if !ok {
		return none, domxml.Volume{}, fault.Errorf(fault.NotFound, "%q is not the id of a volume (pool/name)", id)
	}
	pool, err := l.StoragePoolLookupByName(poolName)
	if err != nil {
		return none, domxml.Volume{}, err
	}
	if err := d.startPool(l, pool); err != nil {
		return none, domxml.Volume{}, err
	}
	vol, err := l.StorageVolLookupByName(pool, name)
	if is(err, libvirt.ErrNoStorageVol) {
		if rerr := l.StoragePoolRefresh(pool, 0); rerr != nil && !is(rerr, libvirt.ErrInternalError) {
			return none, domxml.Volume{}, rerr // internal error: the pool is busy with a job
		}
		vol, err = l.StorageVolLookupByName(pool, name)
	}
	if err != nil {
		return none, domxml.Volume{}, err
	}
	v, err := describe(l, vol)
	return vol, v, err
}

// describe returns what the volume is. The format of one of ours is in its name:
// a pool that is refreshed guesses formats from contents, so a guest with a raw
// disk could make it whatever it likes, down to a qcow2 over a file of the host.
func describe(l *libvirt.Libvirt, vol libvirt.StorageVol) (domxml.Volume, error) {
	doc, err := l.StorageVolGetXMLDesc(vol, 0)
	if err != nil {
		return domxml.Volume{}, err
	}
	v, err := domxml.ParseVolume(doc)
	if m := ownName.FindStringSubmatch(vol.Name); m != nil && !v.Block {
		v.Format = m[2]
	}
	return v, err
}

// idAt returns the id of the volume at the path, also in a pool that does not run:
// libvirt finds the volumes of running ones only. Without such a pool it returns
// the path.
func idAt(l *libvirt.Libvirt, path string) (string, error) {
	vol, err := l.StorageVolLookupByPath(path)
	if err == nil {
		return spec.VolumeID(vol.Pool, vol.Name), nil
	}
	if fault.KindOf(libvirtconn.Fault(err)) != fault.NotFound {
		return "", err
	}
	pools, _, err := l.ConnectListAllStoragePools(1, 0)
	if err != nil {
		return "", err
	}
	for _, pool := range pools {
		p, err := describePool(l, pool)
		if is(err, libvirt.ErrNoStoragePool) {
			continue // gone since the listing
		}
		if err != nil {
			return "", err
		}
		if filepath.Join(p.Path, filepath.Base(path)) == path {
			return spec.VolumeID(pool.Name, filepath.Base(path)), nil
		}
	}
	return path, nil
}
