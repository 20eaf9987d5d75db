package image

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Extents returns the parts of the file that hold data, in order; the rest reads
// as zeros. A file system that does not keep holes answers one extent.
func Extents(f *os.File) ([]Extent, error) {
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	var out []Extent
	fd := int(f.Fd())
	for pos := int64(0); pos < st.Size(); {
		start, err := unix.Seek(fd, pos, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) {
			break // only a hole is left
		}
		if err != nil {
			return nil, fmt.Errorf("find the data of %s: %w", f.Name(), err)
		}
		end, err := unix.Seek(fd, start, unix.SEEK_HOLE)
		if err != nil {
			return nil, fmt.Errorf("find the holes of %s: %w", f.Name(), err)
		}
		out = append(out, Extent{start, end - start})
		pos = end
	}
	return out, nil
}
