package guest

import (
	"fmt"
	"io"
)

// File types and the end mark of the newc format of cpio, which the kernel
// reads (Documentation/driver-api/early-userspace/buffer-format.rst).
const (
	typeDir    = 0o040000
	typeChar   = 0o020000
	typeFile   = 0o100000
	typeLink   = 0o120000
	endOfNewc  = "TRAILER!!!"
	headerNewc = 110
)

// archive writes a cpio archive of the newc format. All entries belong to root
// and have no time, so that equal trees give equal archives. The first error
// sticks and is what close returns.
type archive struct {
	w     io.Writer
	inode uint32
	err   error
}

func (a *archive) dir(name string) { a.entry(name, typeDir|0o755, 0, 0, nil) }
func (a *archive) link(name, to string) {
	a.entry(name, typeLink|0o777, 0, 0, []byte(to))
}
func (a *archive) device(name string, major, minor uint32) {
	a.entry(name, typeChar|0o600, major, minor, nil)
}
func (a *archive) file(name string, mode uint32, content []byte) {
	a.entry(name, typeFile|mode, 0, 0, content)
}

// close writes the end mark and returns the first error of the archive.
func (a *archive) close() error {
	a.inode = 0
	a.entry(endOfNewc, 0, 0, 0, nil)
	return a.err
}

// entry writes one entry; name and content are each padded to four bytes.
func (a *archive) entry(name string, mode, major, minor uint32, content []byte) {
	a.inode++
	a.write(fmt.Appendf(nil, "070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%s\x00",
		a.inode, mode, 0, 0, 1, 0, len(content), 0, 0, major, minor, len(name)+1, 0, name))
	a.write(make([]byte, -(headerNewc+len(name)+1)&3))
	a.write(content)
	a.write(make([]byte, -len(content)&3))
}

func (a *archive) write(b []byte) {
	if a.err == nil {
		_, a.err = a.w.Write(b)
	}
}
