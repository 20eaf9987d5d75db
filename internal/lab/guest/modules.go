package guest

import (
	"bytes"
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/novacron/terraform-provider-novacron/internal/fault"
)

// modules are the drivers that the guest loads, in this order, each after what
// it depends on. Those that a kernel has built in, or does not have, are left
// out: which of them a guest needs depends on the devices it is given.
const modules = "virtio_pci virtio_net virtio_blk button evdev isofs ata_piix ahci virtio_scsi sd_mod sr_mod virtio_balloon virtio_console virtio_rng"

// module is a kernel module, decompressed.
type module struct {
	name    string
	content []byte
}

// loadModules returns the wanted modules and everything they depend on, in the
// order in which they can be loaded.
func loadModules(ctx context.Context, dir string, wanted []string) ([]module, error) {
	paths, err := modulePaths(dir)
	if err != nil {
		return nil, err
	}
	var order []module
	seen := map[string]bool{}
	var add func(name string) error
	add = func(name string) error {
		path, ok := paths[name]
		if !ok || seen[name] {
			return nil
		}
		seen[name] = true
		content, err := readModule(ctx, path)
		if err != nil {
			return err
		}
		needs, err := moduleDepends(content)
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		for _, need := range needs {
			if err := add(need); err != nil {
				return err
			}
		}
		order = append(order, module{name, content})
		return nil
	}
	for _, name := range wanted {
		if err := add(name); err != nil {
			return nil, err
		}
	}
	return order, nil
}

// modulePaths maps the names of all modules under dir to their files. A
// module's name has underscores where its file may have dashes.
func modulePaths(dir string) (map[string]string, error) {
	paths := map[string]string{}
	err := filepath.WalkDir(filepath.Join(dir, "kernel"), func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if name, _, ok := strings.Cut(d.Name(), ".ko"); ok && !d.IsDir() {
			paths[strings.ReplaceAll(name, "-", "_")] = path
		}
		return nil
	})
	return paths, err
}

// readModule returns the content of a module file, decompressed.
func readModule(ctx context.Context, path string) ([]byte, error) {
	switch filepath.Ext(path) {
	case ".ko":
		return os.ReadFile(path)
	case ".xz":
		out, err := run(ctx, "", "xz", "--decompress", "--stdout", path)
		return []byte(out), err
	case ".zst":
		out, err := run(ctx, "", "zstd", "--decompress", "--stdout", "--quiet", path)
		return []byte(out), err
	case ".gz":
		out, err := run(ctx, "", "gzip", "--decompress", "--stdout", path)
		return []byte(out), err
	}
	return nil, fault.Errorf(fault.Unsupported, "kernel module %s: unknown compression", path)
}

// moduleDepends returns the modules that a module depends on, from the
// information that the kernel's build left in it.
func moduleDepends(content []byte) ([]string, error) {
	f, err := elf.NewFile(bytes.NewReader(content))
	if err != nil {
		return nil, fmt.Errorf("not a kernel module: %w", err)
	}
	defer f.Close()
	section := f.Section(".modinfo")
	if section == nil {
		return nil, errors.New("not a kernel module: it has no .modinfo section")
	}
	info, err := section.Data()
	if err != nil {
		return nil, fmt.Errorf("not a kernel module: %w", err)
	}
	for entry := range bytes.SplitSeq(info, []byte{0}) {
		if list, ok := bytes.CutPrefix(entry, []byte("depends=")); ok && len(list) > 0 {
			return strings.Split(strings.ReplaceAll(string(list), "-", "_"), ","), nil
		}
	}
	return nil, nil
}

// isStatic reports whether an executable runs without a dynamic loader.
func isStatic(path string) (bool, error) {
	f, err := elf.Open(path)
	if err != nil {
		return false, err
	}
	defer f.Close()
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			return false, nil
		}
	}
	return true, nil
}
