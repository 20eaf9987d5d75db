package guest

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"

	"github.com/novacron/terraform-provider-novacron/internal/fault"
)

// kernel is a kernel of the distribution with its modules.
type kernel struct {
	release string // as uname -r says it
	image   string // the bzImage
	modules string // the directory that holds the modules of this release
}

// findKernel returns an installed kernel whose image this user may read and
// whose modules are there, or else one from the distribution's package,
// unpacked in dir.
func findKernel(ctx context.Context, dir string, progress func(string, ...any)) (kernel, error) {
	if k, ok := kernelUnder("/"); ok {
		progress("Using the installed kernel %s", k.image)
		return k, nil
	}
	if err := fetchKernel(ctx, dir, progress); err != nil {
		return kernel{}, err
	}
	k, ok := kernelUnder(dir)
	if !ok {
		return kernel{}, fault.Errorf(fault.NotFound, "the kernel packages of the distribution hold no kernel with its modules")
	}
	return k, nil
}

// kernelUnder returns the newest complete kernel of a file system, cloud
// kernels first because they are smaller.
func kernelUnder(dir string) (kernel, bool) {
	images, _ := filepath.Glob(filepath.Join(dir, "boot", "vmlinuz-*")) // the pattern is constant and valid
	var found []kernel
	for _, image := range images {
		release := strings.TrimPrefix(filepath.Base(image), "vmlinuz-")
		for _, lib := range []string{"lib", "usr/lib"} {
			k := kernel{release, image, filepath.Join(dir, lib, "modules", release)}
			if readable(image) && readable(filepath.Join(k.modules, "kernel")) {
				found = append(found, k)
				break
			}
		}
	}
	if len(found) == 0 {
		return kernel{}, false
	}
	sort.Slice(found, func(i, j int) bool {
		a, b := strings.Contains(found[i].release, "cloud"), strings.Contains(found[j].release, "cloud")
		if a != b {
			return a
		}
		return compareReleases(found[i].release, found[j].release) > 0
	})
	return found[0], true
}

// compareReleases orders releases by their numbers, so that 30 follows 9.
func compareReleases(a, b string) int {
	numbers := func(s string) (n []int) {
		for _, f := range strings.FieldsFunc(s, func(r rune) bool { return r < '0' || r > '9' }) {
			v, _ := strconv.Atoi(f) // too large a number sorts as the largest
			n = append(n, v)
		}
		return n
	}
	return slices.Compare(numbers(a), numbers(b))
}

func readable(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	f.Close()
	return true
}

// kernelPackages are the packages that depend on the newest small kernel:
// Debian's first, then Ubuntu's.
var kernelPackages = []string{"linux-image-cloud-amd64", "linux-image-virtual", "linux-image-amd64", "linux-image-generic"}

// versionedKernel matches a package that holds a kernel or its modules, as
// opposed to one that only points at the newest.
var versionedKernel = regexp.MustCompile(`^linux-(image|image-unsigned|modules)-[0-9][-.+~a-z0-9]*$`)

// fetchKernel downloads and unpacks the newest kernel and its modules.
func fetchKernel(ctx context.Context, dir string, progress func(string, ...any)) error {
	names, err := kernelPackageNames(ctx)
	if err != nil {
		return err
	}
	for _, name := range names {
		progress("Downloading package %s", name)
		if err := fetchPackage(ctx, dir, name); err != nil {
			return err
		}
	}
	return nil
}

// kernelPackageNames follows the dependencies of the first known package to
// those that hold files.
func kernelPackageNames(ctx context.Context) ([]string, error) {
	for _, top := range kernelPackages {
		direct, err := dependencies(ctx, top)
		if err != nil {
			return nil, err
		}
		var names []string
		for _, d := range direct {
			if !versionedKernel.MatchString(d) {
				continue
			}
			names = append(names, d)
			more, err := dependencies(ctx, d)
			if err != nil {
				return nil, err
			}
			for _, m := range more {
				if versionedKernel.MatchString(m) {
					names = append(names, m)
				}
			}
		}
		if len(names) > 0 {
			return names, nil
		}
	}
	return nil, fault.WithHint(
		fault.Errorf(fault.NotFound, "no kernel is installed, and apt knows none of %s", strings.Join(kernelPackages, ", ")),
		"Run apt-get update, or install a kernel package.")
}

// findBusybox returns a statically linked busybox: the installed one, or the
// one of the package busybox-static unpacked in dir.
func findBusybox(ctx context.Context, dir string, progress func(string, ...any)) (string, error) {
	for _, path := range []string{"/bin/busybox", "/usr/bin/busybox"} {
		if static, err := isStatic(path); err == nil && static {
			progress("Using the installed busybox %s", path)
			return path, nil
		}
	}
	progress("Downloading package busybox-static")
	if err := fetchPackage(ctx, dir, "busybox-static"); err != nil {
		return "", err
	}
	for _, path := range []string{"bin/busybox", "usr/bin/busybox"} {
		path = filepath.Join(dir, path)
		if static, err := isStatic(path); err == nil && static {
			return path, nil
		}
	}
	return "", fmt.Errorf("package busybox-static holds no static busybox: %w", fault.NotFound)
}
