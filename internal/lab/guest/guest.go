// Package guest builds a tiny bootable guest from the distribution's own
// kernel and busybox packages.
//
// The guest is for tests and demonstrations: it boots in seconds without
// hardware virtualization in 128 MiB, takes an address by DHCP on every NIC,
// reads a NoCloud seed, answers on HTTP, burns CPU when told to, and powers off
// on the ACPI button. Nothing in it comes from elsewhere than the
// distribution's packages, and nothing needs root to be built.
//
// Once up it prints "NOVACRON-GUEST-READY <hostname>" on its first serial
// port, and "NOVACRON-GUEST-ADDRESS <interface> <address>" for every lease. On
// port 80 it serves "/" (host name, uptime, addresses), "/boot_id" (a new one
// at each boot), "/cgi-bin/burn?seconds=N" (keeps one processor busy for N
// seconds, replacing an earlier burn) and "/cgi-bin/calm" (ends it).
package guest

import (
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"golang.org/x/sys/unix"

	"github.com/novacron/terraform-provider-novacron/internal/fault"
)

// format changes when the build changes in a way that the embedded files do
// not show, so that older images in a cache are not taken for new ones.
const format = "1"

// Cmdline is the kernel command line for a direct boot of Kernel and Initrd. A
// guest also boots with another one, as long as it has a console.
const Cmdline = "console=ttyS0 quiet loglevel=3 panic=1 mitigations=off nokaslr tsc=reliable no_timer_check"

// Ready is the word that starts the line that the guest prints once it is up.
const Ready = "NOVACRON-GUEST-READY"

// Image names the files of a built guest. They are never changed once built,
// so any number of guests may use them at once; write only to overlays or
// copies of Disk.
type Image struct {
	Kernel string // bzImage, for a direct boot
	Initrd string // gzipped cpio archive, for a direct boot
	Disk   string // raw disk that boots by BIOS with the same kernel and initrd
}

// root holds the files of the guest's file system that are ours.
//
//go:embed root
var root embed.FS

// Build returns the guest, building it in dir unless it is there already.
//
// The image is found again by the content of its recipe, so that a new recipe
// never meets an old image. Callers in any number of processes may build in the
// same dir at once: one builds, the others wait and take its result. progress,
// which may be nil, is told what happens when something has to be built.
func Build(ctx context.Context, dir string, progress func(format string, args ...any)) (Image, error) {
	if progress == nil {
		progress = func(string, ...any) {}
	}
	if runtime.GOOS != "linux" || runtime.GOARCH != "amd64" {
		return Image{}, fault.Errorf(fault.Unsupported, "build the test guest: only linux/amd64 is supported, this is %s/%s", runtime.GOOS, runtime.GOARCH)
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return Image{}, fmt.Errorf("build the test guest: %w", err)
	}
	key, err := cacheKey()
	if err != nil {
		return Image{}, fmt.Errorf("build the test guest: %w", err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return Image{}, fmt.Errorf("build the test guest: %w", err)
	}
	unlock, err := lock(ctx, filepath.Join(dir, "lock"))
	if err != nil {
		return Image{}, fmt.Errorf("build the test guest: wait for another build in %s: %w", dir, err)
	}
	defer unlock()
	done := filepath.Join(dir, "guest-"+key)
	if _, err := os.Stat(done); err == nil {
		return imageIn(done), nil
	}
	if err := buildIn(ctx, dir, done, progress); err != nil {
		return Image{}, fmt.Errorf("build the test guest in %s: %w", dir, err)
	}
	return imageIn(done), nil
}

// CacheDir is where images are kept between runs: for root a directory that
// the users of guests can read, for others the cache of the user.
func CacheDir() string {
	base, err := os.UserCacheDir()
	if os.Geteuid() == 0 || err != nil {
		base = "/var/cache"
	}
	return filepath.Join(base, "novacron", "guest")
}

func imageIn(dir string) Image {
	return Image{
		Kernel: filepath.Join(dir, "vmlinuz"),
		Initrd: filepath.Join(dir, "initrd.gz"),
		Disk:   filepath.Join(dir, "disk.raw"),
	}
}

// buildIn builds in a temporary directory beside done and renames it when it
// is whole.
func buildIn(ctx context.Context, dir, done string, progress func(string, ...any)) (err error) {
	started := time.Now()
	work, err := os.MkdirTemp(dir, "building-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	if err := os.Chmod(work, 0o755); err != nil {
		return err
	}
	packages := filepath.Join(work, "packages")
	k, err := findKernel(ctx, packages, progress)
	if err != nil {
		return err
	}
	busybox, err := findBusybox(ctx, packages, progress)
	if err != nil {
		return err
	}
	img := imageIn(work)
	if err := copyFile(img.Kernel, k.image, 0o644); err != nil {
		return err
	}
	progress("Writing the initial file system with busybox and the modules of Linux %s", k.release)
	if err := writeInitrd(ctx, img.Initrd, k, busybox); err != nil {
		return err
	}
	progress("Writing the bootable disk image")
	if err := writeDisk(ctx, img); err != nil {
		return err
	}
	if err := os.RemoveAll(packages); err != nil {
		return err
	}
	if err := os.Rename(work, done); err != nil {
		return err
	}
	progress("The guest is ready in %s after %v", done, time.Since(started).Round(100*time.Millisecond))
	return nil
}

// cacheKey is a digest of everything that decides what the image does.
func cacheKey() (string, error) {
	h := sha256.New()
	fmt.Fprintf(h, "%q %q %q %q", format, Cmdline, modules, bootConfig)
	err := fs.WalkDir(root, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := root.ReadFile(path)
		fmt.Fprintf(h, "%q %d ", path, len(b))
		h.Write(b)
		return err
	})
	return hex.EncodeToString(h.Sum(nil))[:16], err
}

// lock takes the file lock, waiting for its present holder as long as ctx
// allows. The kernel releases it when the holder dies.
func lock(ctx context.Context, path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|unix.O_CLOEXEC, 0o644)
	if err != nil {
		return nil, err
	}
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return func() { f.Close() }, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) {
			f.Close()
			return nil, err
		}
		select {
		case <-ctx.Done():
			f.Close()
			return nil, ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
}
