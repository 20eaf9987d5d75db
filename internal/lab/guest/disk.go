package guest

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"github.com/novacron/terraform-provider-novacron/internal/fault"
)

// The layout of the disk image: a boot record, a gap, one FAT partition.
const (
	sectorSize      = 512
	partitionSector = 2048 // where every partitioning tool puts the first one
	diskSize        = 48 << 20
	fatLBA          = 0x0e
	bootable        = 0x80
)

// bootConfig is what syslinux reads.
const bootConfig = "DEFAULT guest\nPROMPT 0\nTIMEOUT 0\nLABEL guest\nKERNEL /vmlinuz\nINITRD /initrd.gz\nAPPEND " + Cmdline + "\n"

// writeDisk writes the disk image from the kernel and the initrd. Neither root
// nor a mount is needed: mtools writes into the image of the file system.
func writeDisk(ctx context.Context, img Image) error {
	partition := img.Disk + ".fat"
	defer os.Remove(partition)
	if err := writePartition(ctx, partition, img); err != nil {
		return err
	}
	boot, err := bootRecord()
	if err != nil {
		return err
	}
	disk, err := os.Create(img.Disk)
	if err != nil {
		return err
	}
	err = errors.Join(
		disk.Truncate(diskSize),
		writeAt(disk, 0, boot),
		copySparse(disk, partitionSector*sectorSize, partition),
		disk.Close(),
	)
	if err != nil {
		return fmt.Errorf("write disk image %s: %w", img.Disk, err)
	}
	return nil
}

// writePartition writes a FAT file system that boots the kernel.
func writePartition(ctx context.Context, path string, img Image) error {
	config := path + ".cfg"
	defer os.Remove(config)
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	if err := errors.Join(f.Truncate(diskSize-partitionSector*sectorSize), f.Close(), os.WriteFile(config, []byte(bootConfig), 0o644)); err != nil {
		return err
	}
	steps := [][]string{
		{"mkfs.vfat", "-F", "16", "-n", "NOVACRON", "-h", strconv.Itoa(partitionSector), path},
		{"mcopy", "-i", path, img.Kernel, "::vmlinuz"},
		{"mcopy", "-i", path, img.Initrd, "::initrd.gz"},
		{"mcopy", "-i", path, config, "::syslinux.cfg"},
		{"syslinux", "--install", path},
	}
	for _, s := range steps {
		if _, err := run(ctx, filepath.Dir(path), program(s[0]), s[1:]...); err != nil {
			return fmt.Errorf("make the boot partition: %w", err)
		}
	}
	return nil
}

// program finds programs that ordinary users do not have in their path.
func program(name string) string {
	for _, dir := range []string{"/usr/sbin", "/sbin"} {
		if path := filepath.Join(dir, name); readable(path) {
			return path
		}
	}
	return name
}

// bootRecord returns the first sector: syslinux' boot code and one active
// partition that fills the disk.
func bootRecord() ([]byte, error) {
	code, err := bootCode()
	if err != nil {
		return nil, err
	}
	sector := make([]byte, sectorSize)
	copy(sector[:440], code)
	entry := sector[446:]
	entry[0], entry[4] = bootable, fatLBA
	// Cylinders, heads and sectors are those of "use the sector number".
	copy(entry[1:4], []byte{0xfe, 0xff, 0xff})
	copy(entry[5:8], []byte{0xfe, 0xff, 0xff})
	binary.LittleEndian.PutUint32(entry[8:], partitionSector)
	binary.LittleEndian.PutUint32(entry[12:], diskSize/sectorSize-partitionSector)
	sector[510], sector[511] = 0x55, 0xaa
	return sector, nil
}

// bootCode reads syslinux' master boot record from where distributions put it.
func bootCode() ([]byte, error) {
	for _, path := range []string{"/usr/lib/syslinux/mbr/mbr.bin", "/usr/lib/SYSLINUX/mbr.bin", "/usr/lib/syslinux/bios/mbr.bin", "/usr/share/syslinux/mbr.bin"} {
		code, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		return code, err
	}
	return nil, fault.WithHint(fault.Errorf(fault.NotFound, "make the boot record: syslinux' mbr.bin is not installed"),
		"Install the package syslinux-common.")
}

func writeAt(f *os.File, offset int64, b []byte) error {
	_, err := f.WriteAt(b, offset)
	return err
}

// copySparse copies a file into f at offset and leaves holes where it is zero.
func copySparse(f *os.File, offset int64, from string) error {
	src, err := os.Open(from)
	if err != nil {
		return err
	}
	defer src.Close()
	buf, zero := make([]byte, 64<<10), make([]byte, 64<<10)
	for {
		n, err := io.ReadFull(src, buf)
		if n > 0 && string(buf[:n]) != string(zero[:n]) {
			if err := writeAt(f, offset, buf[:n]); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return nil
		}
		if err != nil {
			return err
		}
		offset += int64(n)
	}
}

// copyFile copies a file and gives it the mode.
func copyFile(to, from string, mode fs.FileMode) error {
	src, err := os.Open(from)
	if err != nil {
		return err
	}
	defer src.Close()
	dst, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, mode)
	if err != nil {
		return err
	}
	_, err = io.Copy(dst, src)
	return errors.Join(err, dst.Close())
}
