package image

import (
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/novacron/terraform-provider-novacron/internal/fault"
	"github.com/novacron/terraform-provider-novacron/internal/spec"
)

// qcow2 returns a header with the version, backing file offset and virtual size.
func qcow2(version uint32, backing, size uint64) []byte {
	h := make([]byte, 72)
	copy(h, qcow2Magic)
	binary.BigEndian.PutUint32(h[4:], version)
	binary.BigEndian.PutUint64(h[8:], backing)
	binary.BigEndian.PutUint64(h[24:], size)
	return h
}

func TestInspect(t *testing.T) {
	cases := []struct {
		name    string
		content []byte
		want    Info
		errText string
	}{
		{"raw", []byte("anything"), Info{spec.FormatRaw, 8, 8}, ""},
		{"qcow2", qcow2(3, 0, 1<<30), Info{spec.FormatQCOW2, spec.GiB, 72}, ""},
		{"an overlay", qcow2(3, 104, 1<<30), Info{}, "backing file"},
		{"an unknown version", qcow2(9, 0, 1<<30), Info{}, "version 9"},
		{"no size", qcow2(2, 0, 0), Info{}, "virtual size of 0"},
		{"a header cut off", qcow2(3, 0, 1)[:20], Info{}, "cut off"},
		{"gzip", []byte("\x1f\x8b\x08"), Info{}, "gzip"},
		{"VMDK", []byte("KDMV\x01"), Info{}, "VMDK"},
		{"empty", nil, Info{}, "empty"},
	}
	for _, c := range cases {
		path := filepath.Join(t.TempDir(), "x")
		if err := os.WriteFile(path, c.content, 0o644); err != nil {
			t.Fatal(err)
		}
		got, err := Inspect(path)
		if c.errText == "" && (err != nil || got != c.want) {
			t.Errorf("%s: Inspect = %+v, %v; want %+v", c.name, got, err, c.want)
		}
		if c.errText != "" && (!errors.Is(err, fault.Invalid) || !strings.Contains(err.Error(), c.errText)) {
			t.Errorf("%s: Inspect = %v; want an invalid image and %q", c.name, err, c.errText)
		}
	}
	if _, err := Inspect(filepath.Join(t.TempDir(), "missing")); !errors.Is(err, fault.Invalid) || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Inspect of a missing file = %v; want invalid and not exist", err)
	}
}

func TestExtentsOfASparseFile(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "sparse"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	data := make([]byte, 1<<20)
	data[0] = 1
	for _, at := range []int64{0, 8 << 20} {
		if _, err := f.WriteAt(data, at); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Truncate(64 << 20); err != nil {
		t.Fatal(err)
	}
	got, err := Extents(f)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]Extent{{0, 1 << 20}, {8 << 20, 1 << 20}}, got); diff != "" {
		t.Errorf("Extents (-want +got):\n%s", diff)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(qcow2(3, 0, 1<<30), int64(1<<20))
	f.Add([]byte("raw"), int64(3))
	f.Fuzz(func(t *testing.T, head []byte, size int64) {
		info, err := parse(head, size)
		if err == nil && info.Format == spec.FormatQCOW2 && info.VirtualSize <= 0 {
			t.Errorf("parse(%x) = %+v: a disk without a size", head, info)
		}
	})
}
