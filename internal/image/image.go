// Package image reads what a disk image file is: its format and virtual size
// from its header, and which parts of it hold data.
package image

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/novacron/terraform-provider-novacron/internal/fault"
	"github.com/novacron/terraform-provider-novacron/internal/spec"
)

// Info describes an image file.
type Info struct {
	Format      string    // spec.FormatQCOW2 or spec.FormatRaw
	VirtualSize spec.Size // of the disk that a guest sees
	FileSize    spec.Size
}

// Extent is a part of a file that holds data.
type Extent struct{ Offset, Length int64 }

// qcow2Magic starts every QCOW2 image ("QFI" and 0xfb).
var qcow2Magic = []byte{'Q', 'F', 'I', 0xfb}

// foreign are formats that look like raw to a hypervisor that is not told
// better: their names and how a file of them starts.
var foreign = []struct{ name, magic, remedy string }{
	{"gzip-compressed", "\x1f\x8b", "unpack it first (gunzip)"},
	{"xz-compressed", "\xfd7zXZ\x00", "unpack it first (unxz)"},
	{"zstd-compressed", "\x28\xb5\x2f\xfd", "unpack it first (unzstd)"},
	{"bzip2-compressed", "BZh", "unpack it first (bunzip2)"},
	{"VMDK", "KDMV", "convert it first (qemu-img convert -O qcow2)"},
	{"VHDX", "vhdxfile", "convert it first (qemu-img convert -O qcow2)"},
	{"VDI", "<<< ", "convert it first (qemu-img convert -O qcow2)"},
}

// Inspect reads the header of the file. A file that is missing, empty, or in a
// format that no volume can have is fault.Invalid with what to do about it.
func Inspect(path string) (Info, error) {
	f, err := os.Open(path)
	if err != nil {
		return Info{}, fault.As(fault.Invalid, err)
	}
	defer f.Close()
	st, err := f.Stat()
	switch {
	case err != nil:
		return Info{}, fault.As(fault.Invalid, err)
	case !st.Mode().IsRegular():
		return Info{}, fault.Errorf(fault.Invalid, "%s is not a regular file", path)
	case st.Size() == 0:
		return Info{}, fault.Errorf(fault.Invalid, "%s is empty", path)
	}
	head := make([]byte, 72)
	n, err := f.ReadAt(head, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return Info{}, fault.As(fault.Invalid, err)
	}
	info, err := parse(head[:n], st.Size())
	if err != nil {
		return Info{}, fmt.Errorf("image %s: %w", path, err)
	}
	return info, nil
}

// parse reads the first bytes of an image of the given file size. The QCOW2
// header is big-endian: magic, version, backing file offset (8..16), backing
// file name size, cluster bits, virtual size (24..32).
func parse(head []byte, size int64) (Info, error) {
	for _, f := range foreign {
		if bytes.HasPrefix(head, []byte(f.magic)) {
			return Info{}, fault.WithHint(fault.Errorf(fault.Invalid, "the file is %s", f.name), "%s", f.remedy)
		}
	}
	if !bytes.HasPrefix(head, qcow2Magic) {
		return Info{Format: spec.FormatRaw, VirtualSize: spec.Size(size), FileSize: spec.Size(size)}, nil
	}
	if len(head) < 32 {
		return Info{}, fault.Errorf(fault.Invalid, "the QCOW2 header is cut off")
	}
	if v := binary.BigEndian.Uint32(head[4:]); v != 2 && v != 3 {
		return Info{}, fault.Errorf(fault.Invalid, "QCOW2 version %d is neither 2 nor 3", v)
	}
	if binary.BigEndian.Uint64(head[8:]) != 0 {
		err := fault.Errorf(fault.Invalid, "the image has a backing file, which would not come along")
		return Info{}, fault.WithHint(err, "flatten it first (qemu-img convert -O qcow2)")
	}
	virtual := binary.BigEndian.Uint64(head[24:])
	if virtual == 0 || virtual > 1<<62 {
		return Info{}, fault.Errorf(fault.Invalid, "the QCOW2 header says a virtual size of %d bytes", virtual)
	}
	return Info{Format: spec.FormatQCOW2, VirtualSize: spec.Size(virtual), FileSize: spec.Size(size)}, nil
}
