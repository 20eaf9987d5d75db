package guest

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseDepends(t *testing.T) {
	cases := []struct {
		name, record string
		want         []string
	}{
		{"versions, alternatives and architectures are left out",
			"Package: a\nDepends: kmod, linux-base (>= 4.3~), initramfs-tools (>= 0.1) | linux-initramfs-tool, x:any, y [amd64]\nSize: 1\n",
			[]string{"kmod", "linux-base", "initramfs-tools", "x", "y"}},
		{"no dependencies", "Package: a\nDescription: Depends: nothing\n", nil},
		{"only the first record counts", "Depends: new\n\nDepends: old\n", []string{"new"}},
		{"nothing at all", "", nil},
	}
	for _, c := range cases {
		if diff := cmp.Diff(c.want, parseDepends(c.record)); diff != "" {
			t.Errorf("%s: parseDepends(%q) (-want +got):\n%s", c.name, c.record, diff)
		}
	}
}

func TestOnlyPackagesWithFilesAreKernelPackages(t *testing.T) {
	cases := map[string]bool{
		"linux-image-6.1.0-56-cloud-amd64": true,
		"linux-image-6.8.0-60-generic":     true,
		"linux-modules-6.8.0-60-generic":   true,
		"linux-image-virtual":              false,
		"linux-image-cloud-amd64":          false,
		"linux-base":                       false,
		"kmod":                             false,
		"linux-image-6.1;reboot":           false,
	}
	for name, want := range cases {
		if got := versionedKernel.MatchString(name); got != want {
			t.Errorf("versionedKernel matches %q = %v, want %v", name, got, want)
		}
	}
}

func FuzzParseDepends(f *testing.F) {
	f.Add("Depends: kmod, linux-base (>= 4.3~) | x")
	f.Add("Depends: ,|,(:[\nDepends:")
	f.Fuzz(func(t *testing.T, record string) {
		for _, name := range parseDepends(record) {
			if name == "" || strings.ContainsAny(name, " \t\r\n(:[,|") {
				t.Errorf("parseDepends(%q) has %q, want plain names", record, name)
			}
		}
	})
}
