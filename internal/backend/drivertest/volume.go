package drivertest

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/novacron/terraform-provider-novacron/internal/fault"
	"github.com/novacron/terraform-provider-novacron/internal/spec"
)

func volumeTests() []test {
	return []test{
		{"a volume of each format reads back as it was asked for", (*suite).volumeReadsBack},
		{"a format that is not declared is not supported", (*suite).volumeFormat},
		{"a volume that does not exist is not found", (*suite).absentVolume},
		{"creating a volume again returns the one there is", (*suite).volumeAgain},
		{"creating a volume again with a larger size grows it", (*suite).volumeAgainLarger},
		{"a volume of the same name and another identity is never adopted", (*suite).volumeTaken},
		{"a pool that does not exist is not found at its field", (*suite).volumePool},
		{"a volume takes the contents and the size of its source", (*suite).volumeSource},
		{"a source that is missing, of another format or too large is invalid and leaves nothing", (*suite).volumeBadSource},
		{"an overlay keeps its backing volume in use", (*suite).volumeOverlay},
		{"a volume grows and never shrinks", (*suite).volumeGrows},
		{"a volume is deleted once and for all", (*suite).volumeDeletes},
		{"ten volumes are made at once", (*suite).tenVolumes},
	}
}

// readsVolume demands that the volume that was read is the one asked for.
func (s *suite) readsVolume(t *testing.T, call string, got spec.VolumeInfo, want spec.Volume) {
	t.Helper()
	if want.Source = nil; want.Pool == "" {
		want.Pool = s.pool()
	}
	want.ID = got.ID
	v := got.Volume
	if call != "CreateVolume" { // the platform may have no place for them
		v.UUID, v.Owner = want.UUID, want.Owner
	}
	if diff := cmp.Diff(want, v); diff != "" {
		t.Errorf("%s reads back (-asked for +read):\n%s", call, diff)
	}
	if pool, name, ok := spec.SplitVolumeID(got.ID); !ok || pool != want.Pool || name == "" || got.Path == "" {
		t.Errorf("%s = id %q, path %q; want pool/name and a path", call, got.ID, got.Path)
	}
}

func (s *suite) volumeReadsBack(t *testing.T) {
	for _, format := range s.caps.VolumeFormats {
		want, got := s.volume(t, "reads-"+format, func(v *spec.Volume) { v.Format = format })
		s.readsVolume(t, "CreateVolume", got, want)
		read, err := s.drv.Volume(t.Context(), got.ID)
		if err != nil {
			t.Errorf("Volume(%q) = %v", got.ID, err)
		}
		s.readsVolume(t, "Volume", read, want)
		if users, err := s.drv.VolumeUsers(t.Context(), got.ID); err != nil || len(users) != 0 {
			t.Errorf("VolumeUsers(%q) = %q, %v; want none", got.ID, users, err)
		}
	}
}

func (s *suite) volumeFormat(t *testing.T) {
	v := s.volSpec("format")
	v.Format = "vmdk"
	s.without(t, false, "format", func() error { _, err := s.drv.CreateVolume(t.Context(), v); return err })
}

func (s *suite) absentVolume(t *testing.T) {
	ctx := t.Context()
	for _, id := range []string{s.pool() + "/" + s.Prefix + "nothing", s.Prefix + "nopool/nothing"} {
		_, err := s.drv.Volume(ctx, id)
		fails(t, "Volume "+id, err, fault.NotFound, "")
		_, err = s.drv.VolumeUsers(ctx, id)
		fails(t, "VolumeUsers "+id, err, fault.NotFound, "")
		if s.caps.VolumeGrow {
			fails(t, "GrowVolume "+id, s.drv.GrowVolume(ctx, id, spec.GiB), fault.NotFound, "")
		}
		if err := s.drv.DeleteVolume(ctx, id); err != nil {
			t.Errorf("DeleteVolume %s = %v, want nil", id, err)
		}
	}
}

func (s *suite) volumeAgain(t *testing.T) {
	v, first := s.volume(t, "again", func(*spec.Volume) {})
	second, err := s.drv.CreateVolume(t.Context(), v)
	if err != nil {
		t.Fatalf("CreateVolume again = %v", err)
	}
	if diff := cmp.Diff(first.Volume, second.Volume); diff != "" {
		t.Errorf("CreateVolume again (-first +second):\n%s", diff)
	}
	s.same(t, "after two creates", s.Leftovers(t)[:1])
}

func (s *suite) volumeAgainLarger(t *testing.T) {
	v, first := s.volume(t, "larger", func(*spec.Volume) {})
	v.Size *= 2
	if !s.caps.VolumeGrow {
		_, err := s.drv.CreateVolume(t.Context(), v)
		fails(t, "CreateVolume again, larger", err, fault.Unsupported, "size")
		return
	}
	second, err := s.drv.CreateVolume(t.Context(), v)
	if err != nil || second.ID != first.ID || second.Size != v.Size {
		t.Errorf("CreateVolume again, larger = %s %s, %v; want %s %s", second.ID, second.Size, err, first.ID, v.Size)
	}
}

func (s *suite) volumeTaken(t *testing.T) {
	theirs, before := s.volume(t, "taken", func(*spec.Volume) {})
	mine := theirs
	mine.UUID, mine.Size = spec.Identity(s.Prefix, "volume", theirs.Name, "another"), 2*theirs.Size
	got, err := s.drv.CreateVolume(t.Context(), mine)
	if err != nil {
		fails(t, "CreateVolume with a name that is taken", err, fault.Conflict, "name")
	} else {
		s.dropVolumeLater(t, got.ID)
		if got.ID == before.ID {
			t.Errorf("CreateVolume with a name that is taken = %s: it adopted another's", got.ID)
		}
	}
	after, err := s.drv.Volume(t.Context(), before.ID)
	if err != nil || after.Size != before.Size {
		t.Errorf("Volume that has the name = %s, %v; want %s as before", after.Size, err, before.Size)
	}
}

func (s *suite) volumePool(t *testing.T) {
	v := s.volSpec("nopool")
	v.Pool = s.Prefix + "nopool"
	_, err := s.drv.CreateVolume(t.Context(), v)
	fails(t, "CreateVolume in a pool that does not exist", err, fault.NotFound, "pool")
}

func (s *suite) volumeSource(t *testing.T) {
	v := s.volSpec("filled")
	v.Size, v.Format, v.Source = 0, spec.FormatRaw, &spec.Source{File: s.source(t, 3<<20)}
	var got spec.VolumeInfo
	create := func() (err error) { got, err = s.drv.CreateVolume(t.Context(), v); return err }
	if s.without(t, s.caps.VolumeUpload, "source", create) {
		return
	}
	if err := create(); err != nil {
		t.Fatalf("CreateVolume = %v", err)
	}
	s.dropVolumeLater(t, got.ID)
	if v.Size = 3 * spec.MiB; true {
		s.readsVolume(t, "CreateVolume", got, v)
	}
	larger := s.volSpec("filled-larger")
	larger.Size, larger.Format, larger.Source = 8*spec.MiB, spec.FormatRaw, v.Source
	got, err := s.drv.CreateVolume(t.Context(), larger)
	if err != nil {
		t.Fatalf("CreateVolume larger than its source = %v", err)
	}
	s.dropVolumeLater(t, got.ID)
	s.readsVolume(t, "CreateVolume", got, larger)
}

func (s *suite) volumeBadSource(t *testing.T) {
	if !s.caps.VolumeUpload {
		v := s.volSpec("bad")
		v.Source = &spec.Source{File: s.source(t, 1<<20)}
		s.without(t, false, "source", func() error { _, err := s.drv.CreateVolume(t.Context(), v); return err })
		return
	}
	raw := s.source(t, 1<<20)
	qcow2 := filepath.Join(t.TempDir(), "image.qcow2")
	if err := os.WriteFile(qcow2, qcow2Header(8<<20), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, file, format string
		size               spec.Size
		field              string
	}{
		{"a missing file", raw + ".missing", spec.FormatRaw, 0, "source.file"},
		{"a directory", t.TempDir(), spec.FormatRaw, 0, "source.file"},
		{"a qcow2 image as raw", qcow2, spec.FormatRaw, 0, "format"},
		{"a raw image as qcow2", raw, spec.FormatQCOW2, 0, "format"},
		{"a size smaller than a raw image", raw, spec.FormatRaw, 512 * spec.KiB, "size"},
		{"a size smaller than a qcow2 image", qcow2, spec.FormatQCOW2, 4 * spec.MiB, "size"},
	} {
		if !s.caps.HasVolumeFormat(c.format) {
			continue // volumeFormat proves that it is refused
		}
		v := s.volSpec("bad")
		v.Format, v.Size, v.Source = c.format, c.size, &spec.Source{File: c.file}
		_, err := s.drv.CreateVolume(t.Context(), v)
		fails(t, "CreateVolume from "+c.name, err, fault.Invalid, c.field)
		s.nothingLeft(t)
	}
}

// qcow2Header returns an empty qcow2 image of the virtual size: its header, one
// refcount table, one refcount block, one L1 table.
func qcow2Header(size uint64) []byte {
	var b bytes.Buffer
	b.WriteString("QFI\xfb")
	for _, field := range []any{
		uint32(2), uint64(0), uint32(0), uint32(16), size, // version, backing file, cluster bits, size
		uint32(0), uint32(1), uint64(3 << 16), // encryption, L1 entries and where
		uint64(1 << 16), uint32(1), uint32(0), uint64(0), // refcount table and clusters, snapshots
	} {
		binary.Write(&b, binary.BigEndian, field)
	}
	image := make([]byte, 4<<16)
	copy(image, b.Bytes())
	binary.BigEndian.PutUint64(image[1<<16:], 2<<16)
	for i := range 4 {
		binary.BigEndian.PutUint16(image[2<<16+2*i:], 1)
	}
	return image
}

func (s *suite) volumeOverlay(t *testing.T) {
	_, base := s.volume(t, "base", func(v *spec.Volume) { v.Size = 8 * spec.MiB })
	v := s.volSpec("over")
	v.Size, v.Backing, v.Format = 0, base.ID, spec.FormatQCOW2
	var got spec.VolumeInfo
	create := func() (err error) { got, err = s.drv.CreateVolume(t.Context(), v); return err }
	if s.without(t, s.caps.VolumeBacking, "backing", create) {
		return
	}
	if err := create(); err != nil {
		t.Fatalf("CreateVolume = %v", err)
	}
	s.dropVolumeLater(t, got.ID)
	if v.Size = 8 * spec.MiB; true {
		s.readsVolume(t, "CreateVolume", got, v)
	}
	fails(t, "DeleteVolume of a backing volume", s.drv.DeleteVolume(t.Context(), base.ID), fault.Busy, "")
	if users, err := s.drv.VolumeUsers(t.Context(), base.ID); err != nil || len(users) != 1 {
		t.Errorf("VolumeUsers(%q) = %q, %v; want the overlay", base.ID, users, err)
	}
	bad := s.volSpec("over-bad")
	bad.Size, bad.Format, bad.Backing = 0, spec.FormatQCOW2, s.pool()+"/"+s.Prefix+"nothing"
	_, err := s.drv.CreateVolume(t.Context(), bad)
	fails(t, "CreateVolume on a backing volume that does not exist", err, fault.NotFound, "backing")
	bad.Backing, bad.Size = base.ID, 4*spec.MiB
	_, err = s.drv.CreateVolume(t.Context(), bad)
	fails(t, "CreateVolume smaller than its backing volume", err, fault.Invalid, "size")
}

func (s *suite) volumeGrows(t *testing.T) {
	_, v := s.volume(t, "grows", func(*spec.Volume) {})
	grow := func(size spec.Size) error { return s.drv.GrowVolume(t.Context(), v.ID, size) }
	if s.without(t, s.caps.VolumeGrow, "size", func() error { return grow(2 * v.Size) }) {
		return
	}
	for _, c := range []struct{ ask, want spec.Size }{{8 * spec.MiB, 8 * spec.MiB}, {8 * spec.MiB, 8 * spec.MiB}, {spec.MiB, 8 * spec.MiB}} {
		if err := grow(c.ask); err != nil {
			t.Errorf("GrowVolume to %s = %v", c.ask, err)
		}
		if now, err := s.drv.Volume(t.Context(), v.ID); err != nil || now.Size != c.want {
			t.Errorf("Volume after GrowVolume to %s = %s, %v; want %s", c.ask, now.Size, err, c.want)
		}
	}
}

func (s *suite) volumeDeletes(t *testing.T) {
	_, v := s.volume(t, "gone", func(*spec.Volume) {})
	for range 2 {
		if err := s.drv.DeleteVolume(t.Context(), v.ID); err != nil {
			t.Errorf("DeleteVolume = %v", err)
		}
	}
	_, err := s.drv.Volume(t.Context(), v.ID)
	fails(t, "Volume after its delete", err, fault.NotFound, "")
}

func (s *suite) tenVolumes(t *testing.T) {
	ids := make([]string, 10)
	err := together(len(ids), func(i int) error {
		v, err := s.drv.CreateVolume(t.Context(), s.volSpec(fmt.Sprintf("many%d", i)))
		ids[i] = v.ID
		return err
	})
	if err != nil {
		t.Errorf("ten CreateVolume at once = %v", err)
	}
	for _, id := range ids {
		s.dropVolumeLater(t, id)
	}
	if got := s.Leftovers(t); len(got) != len(ids) {
		t.Errorf("Leftovers() = %q; want ten volumes", got)
	}
}
