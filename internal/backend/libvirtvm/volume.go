package libvirtvm

import (
	"context"
	"fmt"
	"os"
	"regexp"
	"time"

	libvirt "github.com/digitalocean/go-libvirt"

	"github.com/novacron/terraform-provider-novacron/internal/backend/libvirtvm/domxml"
	"github.com/novacron/terraform-provider-novacron/internal/fault"
	"github.com/novacron/terraform-provider-novacron/internal/image"
	"github.com/novacron/terraform-provider-novacron/internal/libvirtconn"
	"github.com/novacron/terraform-provider-novacron/internal/spec"
)

// unfinished marks, as a volume beside it, a volume that is being filled. libvirt
// cannot rename volumes and keeps no metadata of theirs.
const unfinished = ".unfinished"

// cleanup bounds how long what failed is tidied up after its context ended.
const cleanup = 30 * time.Second

// ownName matches the names we give to volumes: the user's, eight digits of the
// identity, the format.
var ownName = regexp.MustCompile(`^(.+)\.[0-9a-f]{8}\.(qcow2|raw)$`)

// CreateVolume makes the volume and fills it from its source.
func (d *Driver) CreateVolume(ctx context.Context, v spec.Volume) (spec.VolumeInfo, error) {
	if err := d.refuseVolume(v); err != nil {
		return spec.VolumeInfo{}, err
	}
	src, err := inspect(v)
	if err != nil {
		return spec.VolumeInfo{}, err
	}
	unlock, err := d.busy.lock(ctx, v.UUID)
	if err != nil {
		return spec.VolumeInfo{}, err
	}
	defer unlock()
	var id string
	err = d.conn.Do(ctx, func(l *libvirt.Libvirt) error {
		pool, err := d.poolNamed(l, v.Pool)
		if err != nil {
			return err
		}
		if v.Format == spec.FormatQCOW2 {
			if _, err := imagePath(l, pool, v.OwnName()); err != nil {
				return err
			}
		}
		id = spec.VolumeID(pool.Name, v.OwnName())
		return d.allocate(l, pool, v, src)
	})
	if err == nil && v.Source != nil {
		err = d.fill(ctx, id, v, src)
	}
	if err != nil {
		return spec.VolumeInfo{}, err
	}
	info, err := d.Volume(ctx, id)
	info.UUID, info.Owner = v.UUID, v.Owner
	return info, err
}

// refuseVolume answers what the connection cannot do.
func (d *Driver) refuseVolume(v spec.Volume) error {
	c := d.Capabilities()
	switch {
	case !c.HasVolumeFormat(v.Format):
		return fault.At("format", fault.Errorf(fault.Unsupported, "no volumes of the format %q", v.Format))
	case v.Source != nil && !c.VolumeUpload:
		return fault.At("source", fault.Errorf(fault.Unsupported, "no upload: %s", c.Why["VolumeUpload"]))
	}
	return nil
}

// inspect reads the header of the source and refuses what cannot work.
func inspect(v spec.Volume) (image.Info, error) {
	if v.Source == nil {
		return image.Info{}, nil
	}
	src, err := image.Inspect(v.Source.File)
	switch {
	case err != nil:
		return src, fault.At("source.file", err)
	case src.Format != v.Format:
		err := fault.Errorf(fault.Invalid, "%s is a %s image, and the volume's format is %s", v.Source.File, src.Format, v.Format)
		return src, fault.At("format", fault.WithHint(err, "set format = %q", src.Format))
	case v.Size != 0 && v.Size < src.VirtualSize:
		err := fault.Errorf(fault.Invalid, "%s is smaller than the image, which is %s large", v.Size, src.VirtualSize)
		return src, fault.At("size", err)
	}
	return src, nil
}

// allocate makes the empty volume, or finds the one that an earlier call made. A
// volume that was being filled then is made anew.
func (d *Driver) allocate(l *libvirt.Libvirt, pool libvirt.StoragePool, v spec.Volume, src image.Info) error {
	name := v.OwnName()
	mark, err := findVolume(l, pool, name+unfinished)
	if err != nil {
		return err
	}
	have, err := findVolume(l, pool, name)
	if err != nil {
		return err
	}
	if have != nil && mark == nil {
		return d.growFound(l, *have, v.Size)
	}
	if v.Source != nil {
		err = emptied(l, pool, name)
	}
	if err != nil {
		return err
	}
	return d.newVolume(l, pool, name, v.Format, max(v.Size, src.VirtualSize), v.Backing)
}

// newVolume makes an empty volume, or an overlay of the volume with the id
// backing that is at least as large.
func (d *Driver) newVolume(l *libvirt.Libvirt, pool libvirt.StoragePool, name, format string, size spec.Size, backing string) error {
	if backing == "" {
		return createVolume(l, pool, name, format, size, nil)
	}
	base, err := d.backing(l, backing, size)
	if err != nil {
		return err
	}
	return createVolume(l, pool, name, format, max(size, base.Capacity), base)
}

// filled reports whether the volume is there and was filled to the end.
func filled(l *libvirt.Libvirt, pool libvirt.StoragePool, name string) (bool, error) {
	have, err := findVolume(l, pool, name)
	if err != nil || have == nil {
		return false, err
	}
	mark, err := findVolume(l, pool, name+unfinished)
	return mark == nil, err
}

// emptied marks the volume as unfinished and deletes what there is of it.
func emptied(l *libvirt.Libvirt, pool libvirt.StoragePool, name string) error {
	if err := createVolume(l, pool, name+unfinished, spec.FormatRaw, 512, nil); err != nil {
		return err
	}
	return deleteNamed(l, pool, name)
}

// deleteNamed deletes the volume of the pool, if there is one.
func deleteNamed(l *libvirt.Libvirt, pool libvirt.StoragePool, name string) error {
	vol, err := findVolume(l, pool, name)
	if err != nil || vol == nil {
		return err
	}
	return deleteIfThere(l, *vol)
}

// growFound makes a volume that was found at least as large as it is wanted.
func (d *Driver) growFound(l *libvirt.Libvirt, vol libvirt.StorageVol, size spec.Size) error {
	v, err := describe(l, vol)
	if is(err, libvirt.ErrOperationInvalid) {
		return fault.Errorf(fault.Busy, "volume %q is still being made: %w", vol.Name, err)
	}
	if err != nil || v.Capacity >= size {
		return err
	}
	if !d.Capabilities().VolumeGrow {
		return d.noGrowth()
	}
	return growVolume(l, vol, v.Path, size)
}

func (d *Driver) noGrowth() error {
	return fault.At("size", fault.Errorf(fault.Unsupported, "no growing: %s", d.Capabilities().Why["VolumeGrow"]))
}

// backing returns the volume that an overlay of the size goes on.
func (d *Driver) backing(l *libvirt.Libvirt, id string, size spec.Size) (*domxml.Volume, error) {
	_, base, err := d.lookupVolume(l, id)
	switch {
	case fault.KindOf(libvirtconn.Fault(err)) == fault.NotFound:
		return nil, fault.At("backing", fault.Errorf(fault.NotFound, "there is no volume %q to go on: %w", id, err))
	case err != nil:
		return nil, err
	case size != 0 && size < base.Capacity:
		return nil, fault.At("size", fault.Errorf(fault.Invalid, "%s is smaller than the backing volume, which is %s large", size, base.Capacity))
	}
	return &base, nil
}

// findVolume returns the volume of the pool, or nil when there is none.
func findVolume(l *libvirt.Libvirt, pool libvirt.StoragePool, name string) (*libvirt.StorageVol, error) {
	vol, err := volumeIn(l, pool, name)
	if is(err, libvirt.ErrNoStorageVol) {
		return nil, nil
	}
	return &vol, err
}

// volumeIn returns the volume of the pool. One that does not run, as after a
// reboot of the host, is started: it tells nothing of its volumes before.
func volumeIn(l *libvirt.Libvirt, pool libvirt.StoragePool, name string) (libvirt.StorageVol, error) {
	vol, err := l.StorageVolLookupByName(pool, name)
	if !is(err, libvirt.ErrOperationInvalid) {
		return vol, err
	}
	if err := l.StoragePoolCreate(pool, 0); err != nil && !is(err, libvirt.ErrOperationInvalid) { // somebody else was faster
		return vol, fmt.Errorf("start storage pool %q: %w", pool.Name, err)
	}
	return l.StorageVolLookupByName(pool, name)
}

// createVolume makes the volume; one that is there already, made by an earlier
// attempt whose answer was lost, is the same.
func createVolume(l *libvirt.Libvirt, pool libvirt.StoragePool, name, format string, size spec.Size, backing *domxml.Volume) error {
	doc, err := domxml.NewVolume(name, format, size, backing)
	if err != nil {
		return err
	}
	_, err = l.StorageVolCreateXML(pool, doc, 0)
	if err != nil {
		if have, ferr := findVolume(l, pool, name); ferr == nil && have != nil {
			return nil
		}
		return fmt.Errorf("make volume %q in pool %q: %w", name, pool.Name, err)
	}
	return nil
}

// fill uploads the source unless an earlier call did, and grows the volume to
// its size. After an error nothing of the volume is left.
func (d *Driver) fill(ctx context.Context, id string, v spec.Volume, src image.Info) (err error) {
	pool, name, _ := spec.SplitVolumeID(id)
	var vol libvirt.StorageVol
	var mark *libvirt.StorageVol
	err = d.conn.Do(ctx, func(l *libvirt.Libvirt) error {
		p, err := l.StoragePoolLookupByName(pool)
		if err != nil {
			return err
		}
		if mark, err = findVolume(l, p, name+unfinished); err != nil || mark == nil {
			return err
		}
		vol, err = l.StorageVolLookupByName(p, name)
		return err
	})
	if err != nil || mark == nil {
		return err
	}
	defer func() {
		if err != nil {
			err = d.discard(ctx, id, err)
		}
	}()
	if err := d.upload(ctx, vol, v.Source.File, int64(src.FileSize)); err != nil {
		return fault.At("source.file", err)
	}
	return d.conn.Do(ctx, func(l *libvirt.Libvirt) error {
		if v.Size > src.VirtualSize {
			if err := l.StorageVolResize(vol, uint64(v.Size), 0); err != nil {
				return fmt.Errorf("grow the volume from %s to %s: %w", src.VirtualSize, v.Size, err)
			}
		}
		return l.StorageVolDelete(*mark, 0)
	})
}

// upload streams the data of the file into the volume, leaving out its holes.
func (d *Driver) upload(ctx context.Context, vol libvirt.StorageVol, file string, size int64) error {
	f, err := os.Open(file)
	if err != nil {
		return fault.As(fault.Invalid, err)
	}
	defer f.Close()
	parts, err := image.Extents(f)
	if err != nil {
		return err
	}
	extents := make([]libvirtconn.Extent, len(parts))
	for i, p := range parts {
		extents[i] = libvirtconn.Extent(p)
	}
	return d.conn.UploadExtents(ctx, vol, f, extents, size, nil)
}

// discard deletes what a failed fill made and returns why it failed, with a word
// on what could not be deleted.
func (d *Driver) discard(ctx context.Context, id string, failed error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanup)
	defer cancel()
	if err := d.DeleteVolume(ctx, id); err != nil {
		return fmt.Errorf("%w (and volume %s stays, half filled, until the next attempt: %v)", failed, id, err)
	}
	return failed
}

// Volume returns the volume.
func (d *Driver) Volume(ctx context.Context, id string) (spec.VolumeInfo, error) {
	var info spec.VolumeInfo
	err := d.conn.Do(ctx, func(l *libvirt.Libvirt) error {
		_, v, err := d.lookupVolume(l, id)
		if err != nil {
			return err
		}
		info, err = d.volumeInfo(l, id, v)
		return err
	})
	return info, err
}

func (d *Driver) volumeInfo(l *libvirt.Libvirt, id string, v domxml.Volume) (spec.VolumeInfo, error) {
	pool, name, _ := spec.SplitVolumeID(id)
	if m := ownName.FindStringSubmatch(name); m != nil {
		name = m[1]
	}
	info := spec.VolumeInfo{
		Volume: spec.Volume{ID: id, Name: name, Pool: pool, Size: v.Capacity, Format: v.Format},
		Path:   v.Path, Allocation: v.Allocation,
	}
	if v.BackingPath == "" {
		return info, nil
	}
	var err error
	info.Backing, err = idAt(l, v.BackingPath)
	return info, err
}

// GrowVolume makes the volume larger: through the VM that runs with it, when
// there is one, since QEMU holds the image open then.
func (d *Driver) GrowVolume(ctx context.Context, id string, size spec.Size) error {
	if !d.Capabilities().VolumeGrow {
		return d.noGrowth()
	}
	return d.conn.Do(ctx, func(l *libvirt.Libvirt) error {
		vol, v, err := d.lookupVolume(l, id)
		if err != nil || v.Capacity >= size {
			return err
		}
		return growVolume(l, vol, v.Path, size)
	})
}

// growVolume makes a volume larger, whoever has it open.
func growVolume(l *libvirt.Libvirt, vol libvirt.StorageVol, path string, size spec.Size) error {
	dom, dev, err := runningWith(l, vol, path)
	if err != nil {
		return err
	}
	if dom == nil {
		return l.StorageVolResize(vol, uint64(size), 0)
	}
	if err := l.DomainBlockResize(*dom, dev, uint64(size), libvirt.DomainBlockResizeBytes); err != nil {
		return fmt.Errorf("grow disk %s of the running VM %q: %w", dev, dom.Name, err)
	}
	_, _, _, err = l.StorageVolGetInfo(vol) // the pool learns the new size
	return err
}

// DeleteVolume removes the volume, and the mark of one that was being filled.
func (d *Driver) DeleteVolume(ctx context.Context, id string) error {
	return d.conn.Do(ctx, func(l *libvirt.Libvirt) error { return deleteVolume(l, id, "") })
}

// deleteVolume is DeleteVolume, for which the domain called except may have the
// volume: it goes too.
func deleteVolume(l *libvirt.Libvirt, id, except string) error {
	poolName, name, ok := spec.SplitVolumeID(id)
	if !ok {
		return nil
	}
	pool, err := l.StoragePoolLookupByName(poolName)
	if is(err, libvirt.ErrNoStoragePool) {
		return nil
	}
	if err != nil {
		return err
	}
	vol, err := findVolume(l, pool, name)
	if err != nil {
		return err
	}
	if vol != nil {
		if err := deleteUnused(l, *vol, except); err != nil {
			return err
		}
	}
	return deleteNamed(l, pool, name+unfinished)
}

func deleteIfThere(l *libvirt.Libvirt, vol libvirt.StorageVol) error {
	err := l.StorageVolDelete(vol, 0)
	if is(err, libvirt.ErrNoStorageVol) {
		return nil
	}
	return err
}
