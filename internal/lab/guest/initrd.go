package guest

import (
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
)

// busyboxNames are the names under which the guest's scripts call busybox.
const busyboxNames = "sh mount mkdir insmod hostname sed head dd cat cut ip udhcpc httpd acpid poweroff sleep timeout kill setsid chmod mkfifo tr route"

// writeInitrd writes the guest's whole file system as a gzipped cpio archive.
func writeInitrd(ctx context.Context, path string, k kernel, busybox string) (err error) {
	loaded, err := loadModules(ctx, k.modules, strings.Fields(modules))
	if err != nil {
		return fmt.Errorf("collect the modules of Linux %s: %w", k.release, err)
	}
	bb, err := os.ReadFile(busybox)
	if err != nil {
		return err
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() {
		if e := f.Close(); err == nil {
			err = e
		}
	}()
	z, err := gzip.NewWriterLevel(f, gzip.BestCompression)
	if err != nil {
		return err
	}
	if err := writeTree(z, loaded, bb); err != nil {
		return err
	}
	return z.Close()
}

// writeTree writes directories before what they hold, as the kernel needs it.
func writeTree(w io.Writer, loaded []module, busybox []byte) error {
	a := &archive{w: w}
	for _, dir := range []string{"bin", "dev", "proc", "sys", "run", "seed", "modules"} {
		a.dir(dir)
	}
	a.device("dev/console", 5, 1)
	a.file("bin/busybox", 0o755, busybox)
	for name := range strings.FieldsSeq(busyboxNames) {
		a.link("bin/"+name, "busybox")
	}
	var order strings.Builder
	for _, m := range loaded {
		a.file("modules/"+m.name+".ko", 0o644, m.content)
		fmt.Fprintln(&order, m.name)
	}
	a.file("modules/order", 0o644, []byte(order.String()))
	err := fs.WalkDir(root, "root", func(path string, d fs.DirEntry, err error) error {
		name := strings.TrimPrefix(path, "root/")
		if err != nil || path == "root" {
			return err
		}
		if d.IsDir() {
			a.dir(name)
			return nil
		}
		content, err := root.ReadFile(path)
		a.file(name, 0o755, content)
		return err
	})
	if err != nil {
		return err
	}
	return a.close()
}
