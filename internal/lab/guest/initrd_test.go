package guest

import (
	"bytes"
	"compress/gzip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// cpio itself reads what archive wrote.
func TestArchiveIsReadByCpio(t *testing.T) {
	var b bytes.Buffer
	a := &archive{w: &b}
	a.dir("bin")
	a.file("bin/tool", 0o755, []byte("12345"))
	a.link("bin/alias", "tool")
	a.file("empty", 0o644, nil)
	if err := a.close(); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cmd := exec.CommandContext(t.Context(), "cpio", "--extract", "--quiet", "--no-preserve-owner")
	cmd.Dir, cmd.Stdin = dir, &b
	if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
		t.Fatalf("cpio: %v: %s", err, out)
	}
	got := map[string]string{}
	for _, name := range []string{"bin/alias", "empty"} {
		content, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		got[name] = string(content)
	}
	if diff := cmp.Diff(map[string]string{"bin/alias": "12345", "empty": ""}, got); diff != "" {
		t.Errorf("the archive holds (-want +got):\n%s", diff)
	}
	if st, err := os.Stat(filepath.Join(dir, "bin/tool")); err != nil || st.Mode().Perm() != 0o755 {
		t.Errorf("bin/tool: %v, %v; want mode 755", st, err)
	}
}

type full struct{ room int }

func (f *full) Write(b []byte) (int, error) {
	if f.room -= len(b); f.room < 0 {
		return 0, os.ErrClosed
	}
	return len(b), nil
}

func TestArchiveReportsAFullDisk(t *testing.T) {
	a := &archive{w: &full{room: 300}}
	a.file("big", 0o644, make([]byte, 1000))
	a.dir("more")
	if err := a.close(); err != os.ErrClosed {
		t.Errorf("close = %v, want the writer's error", err)
	}
}

// Every module of the image comes after all that it depends on.
func TestModulesAreInLoadingOrder(t *testing.T) {
	initrd, err := os.Open(build(t).Initrd)
	if err != nil {
		t.Fatal(err)
	}
	defer initrd.Close()
	z, err := gzip.NewReader(initrd)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cmd := exec.CommandContext(t.Context(), "cpio", "--extract", "--quiet", "--make-directories", "modules/*")
	cmd.Dir, cmd.Stdin = dir, z
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("cpio: %v: %s", err, out)
	}
	order, err := os.ReadFile(filepath.Join(dir, "modules", "order"))
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for name := range strings.FieldsSeq(string(order)) {
		content, err := os.ReadFile(filepath.Join(dir, "modules", name+".ko"))
		if err != nil {
			t.Fatal(err)
		}
		needs, err := moduleDepends(content)
		if err != nil {
			t.Fatal(err)
		}
		for _, need := range needs {
			if !seen[need] {
				t.Errorf("%s comes before %s, which it needs", name, need)
			}
		}
		seen[name] = true
	}
	if len(seen) < 5 {
		t.Errorf("the image holds the modules %s, want more", order)
	}
}

func TestCompressedModulesAreDecompressed(t *testing.T) {
	for _, c := range []struct{ suffix, program string }{{".xz", "xz"}, {".zst", "zstd"}, {".gz", "gzip"}} {
		path := filepath.Join(t.TempDir(), "x.ko")
		if err := os.WriteFile(path, []byte("a module"), 0o644); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.CommandContext(t.Context(), c.program, "-q", path).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v: %s", c.program, err, out)
		}
		got, err := readModule(t.Context(), path+c.suffix)
		if err != nil || string(got) != "a module" {
			t.Errorf("readModule(x.ko%s) = %q, %v; want its content", c.suffix, got, err)
		}
	}
}

func FuzzModuleDepends(f *testing.F) {
	f.Add([]byte("\x7fELF"))
	if self, err := os.ReadFile("/usr/bin/busybox"); err == nil {
		f.Add(self[:4096])
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		needs, err := moduleDepends(content)
		if err != nil && needs != nil {
			t.Errorf("moduleDepends = %q with error %v, want one of both", needs, err)
		}
	})
}

func TestNewestCloudKernelIsPreferred(t *testing.T) {
	dir := t.TempDir()
	for _, release := range []string{"6.1.0-9-amd64", "6.1.0-9-cloud-amd64", "6.1.0-30-cloud-amd64", "6.2.0-1-cloud-amd64"} {
		if err := os.MkdirAll(filepath.Join(dir, "boot"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "boot", "vmlinuz-"+release), nil, 0o644); err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(release, "6.2") {
			continue // without its modules
		}
		if err := os.MkdirAll(filepath.Join(dir, "lib", "modules", release, "kernel"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if k, ok := kernelUnder(dir); !ok || k.release != "6.1.0-30-cloud-amd64" {
		t.Errorf("kernelUnder = %+v, %v; want the newest cloud kernel with modules", k, ok)
	}
}
