//go:build linux

package libvirtconn

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	libvirt "github.com/digitalocean/go-libvirt"

	"github.com/novacron/terraform-provider-novacron/internal/fault"
	"github.com/novacron/terraform-provider-novacron/internal/lab"
)

const mib = 1 << 20

// store is a storage pool of a host.
type store struct {
	t    *testing.T
	c    *Client
	pool libvirt.StoragePool
	dir  string
}

func newStore(t *testing.T, h *lab.Host, dir string) *store {
	t.Helper()
	s := &store{t: t, dir: dir, c: newClient(t, Options{URI: "qemu:///system?socket=" + h.Socket()})}
	err := s.c.Do(t.Context(), func(l *libvirt.Libvirt) (err error) {
		s.pool, err = l.StoragePoolCreateXML(fmt.Sprintf("<pool type='dir'><name>%s</name><target><path>%s</path></target></pool>", filepath.Base(dir), dir), 0)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// volume makes a new volume without preallocation.
func (s *store) volume(name, format string, size int) (v libvirt.StorageVol) {
	s.t.Helper()
	xml := fmt.Sprintf("<volume><name>%s</name><capacity>%d</capacity><allocation>0</allocation><target><format type='%s'/></target></volume>", name, size, format)
	err := s.c.Do(s.t.Context(), func(l *libvirt.Libvirt) (err error) {
		v, err = l.StorageVolCreateXML(s.pool, xml, 0)
		return err
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return v
}

// file returns what the volume holds and how many bytes of disk it takes.
func (s *store) file(v libvirt.StorageVol) ([]byte, int64) {
	s.t.Helper()
	b, err := os.ReadFile(filepath.Join(s.dir, v.Name))
	if err != nil {
		s.t.Fatal(err)
	}
	var st syscall.Stat_t
	if err := syscall.Stat(filepath.Join(s.dir, v.Name), &st); err != nil {
		s.t.Fatal(err)
	}
	return b, st.Blocks * 512
}

// noise fills b with bytes that are the same in each run.
func noise(b []byte) {
	r := rand.NewChaCha8([32]byte{1})
	r.Read(b)
}

// sparse returns size bytes that are zero but for the extents.
func sparse(size int, extents ...Extent) []byte {
	b := make([]byte, size)
	for _, e := range extents {
		noise(b[e.Offset : e.Offset+e.Length])
	}
	return b
}

func TestUpload(t *testing.T) {
	h := lab.ForTest(t)
	s := newStore(t, h, t.TempDir())
	middle := []Extent{{9*mib + 5, 2*mib + 1}, {20 * mib, 100}}
	cases := []struct {
		name    string
		format  string
		extents []Extent
		size    int
		most    int64 // disk it may take, MiB
	}{
		{"zeros at the start, between and at the end", "raw", middle, 32*mib + 77, 4},
		{"nothing but data", "raw", []Extent{{0, 8*mib + 3}}, 8*mib + 3, 9},
		{"nothing but zeros", "raw", nil, 16 * mib, 0},
		{"one byte", "raw", []Extent{{0, 1}}, 1, 1},
		{"zeros over the header of a new qcow2 volume", "qcow2", middle, 32*mib + 77, 4},
	}
	for i, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			want := sparse(c.size, c.extents...)
			ways := map[string]func(libvirt.StorageVol, func(int64)) error{
				"Upload": func(v libvirt.StorageVol, p func(int64)) error {
					return s.c.Upload(t.Context(), v, bytes.NewReader(want), p)
				},
				"UploadExtents": func(v libvirt.StorageVol, p func(int64)) error {
					return s.c.UploadExtents(t.Context(), v, bytes.NewReader(want), c.extents, int64(c.size), p)
				},
			}
			for way, upload := range ways {
				v := s.volume(fmt.Sprint(way, i), c.format, c.size)
				var last int64
				err := upload(v, func(done int64) {
					if done <= last {
						t.Errorf("%s: progress went from %d to %d", way, last, done)
					}
					last = done
				})
				if err != nil {
					t.Errorf("%s = %v, want nil", way, err)
					continue
				}
				got, disk := s.file(v)
				if !bytes.Equal(got, want) || last != int64(c.size) {
					t.Errorf("%s: the volume has %d bytes, equal %v, progress ended at %d; want the %d bytes of the source", way, len(got), bytes.Equal(got, want), last, c.size)
				}
				if disk > c.most*mib+512<<10 {
					t.Errorf("%s: the volume takes %d bytes of disk, want at most about %d MiB: it is not sparse", way, disk, c.most)
				}
			}
		})
	}
}

// failing gives n bytes of noise, then an error.
func failing(n int, err error) io.Reader {
	b := make([]byte, n)
	noise(b)
	return io.MultiReader(bytes.NewReader(b), readFunc(func([]byte) (int, error) { return 0, err }))
}

type readFunc func([]byte) (int, error)

func (f readFunc) Read(p []byte) (int, error) { return f(p) }

type writeFunc func([]byte) (int, error)

func (f writeFunc) Write(p []byte) (int, error) { return f(p) }

func TestUploadFailures(t *testing.T) {
	ctx := t.Context()
	full := t.TempDir()
	if err := syscall.Mount("tmpfs", full, "tmpfs", 0, "size=6m"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(full, 0); err != nil {
			t.Errorf("Unmount(%s): %v", full, err)
		}
	})
	h := lab.ForTest(t)
	s := newStore(t, h, t.TempDir())
	tiny := newStore(t, h, full)

	t.Run("a source that fails is named", func(t *testing.T) {
		boom := errors.New("boom")
		for i, bad := range []error{boom, io.ErrUnexpectedEOF} {
			check := leaks(t)
			v := s.volume(fmt.Sprint("source", i), "raw", 64*mib)
			err := s.c.Upload(ctx, v, failing(9*mib, bad), nil)
			if !errors.Is(err, bad) {
				t.Errorf("Upload = %v, want the source's %v", err, bad)
			}
			check()
		}
	})

	t.Run("a source shorter than it said is named", func(t *testing.T) {
		v := s.volume("short", "raw", 8*mib)
		err := s.c.UploadExtents(ctx, v, bytes.NewReader(make([]byte, mib)), []Extent{{0, 2 * mib}}, 8*mib, nil)
		if !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("UploadExtents = %v, want an unexpected end", err)
		}
	})

	t.Run("extents that make no sense are invalid", func(t *testing.T) {
		for _, e := range [][]Extent{{{-1, 2}}, {{0, -1}}, {{4, 4}, {7, 1}}, {{0, 9}}, {{9, 0}}, {{1 << 62, 1 << 62}}} {
			err := s.c.UploadExtents(ctx, libvirt.StorageVol{Name: "v"}, bytes.NewReader(nil), e, 8, nil)
			wantKind(t, fmt.Sprintf("UploadExtents(%v)", e), err, fault.Invalid, `volume "v"`)
		}
	})

	t.Run("a full disk is told as such and at once", func(t *testing.T) {
		check := leaks(t)
		v := tiny.volume("v", "raw", 64*mib)
		err := tiny.c.Upload(ctx, v, failing(64*mib, io.EOF), nil)
		wantKind(t, "Upload", err, fault.Exhausted, "No space left")
		check()
	})

	t.Run("a missing volume is not found", func(t *testing.T) {
		v := s.volume("gone", "raw", mib)
		v.Name, v.Key = "nothing", "/nothing"
		wantKind(t, "Upload", s.c.Upload(ctx, v, zeros{}, nil), fault.NotFound, "nothing")
	})

	t.Run("a context that ends while the source hangs ends the upload", func(t *testing.T) {
		check := leaks(t)
		v := s.volume("hung", "raw", 64*mib)
		cctx, cancel := context.WithCancel(ctx)
		free := make(chan struct{})
		var late atomic.Bool
		hung := readFunc(func(p []byte) (int, error) { cancel(); <-free; noise(p); return len(p), nil })
		err := s.c.Upload(cctx, v, hung, func(int64) { late.Store(true) })
		wantKind(t, "Upload", err, fault.Canceled, "context canceled")
		close(free)
		check()
		if late.Load() {
			t.Error("progress was called after Upload had returned")
		}
	})

	t.Run("a link that dies in the middle ends the upload", func(t *testing.T) {
		p := newProxy(t, "tcp", h.Socket())
		check := leaks(t)
		c := newClient(t, Options{URI: p.uri("qemu", "/system"), PingInterval: 200 * time.Millisecond})
		v := s.volume("link", "raw", 1024*mib)
		endless := readFunc(func(b []byte) (int, error) { p.freeze(true); b[0] = 1; return len(b), nil })
		err := c.Upload(ctx, v, endless, nil)
		wantKind(t, "Upload", err, fault.Unavailable, "the host stopped answering")
		p.freeze(false)
		p.cut()
		check()
	})

	t.Run("a daemon killed in the middle ends the upload", func(t *testing.T) {
		check := leaks(t)
		v := s.volume("killed", "raw", 1024*mib)
		var once sync.Once
		endless := readFunc(func(b []byte) (int, error) {
			once.Do(func() {
				if err := h.Restart(ctx); err != nil {
					t.Error(err)
				}
			})
			b[0] = 1
			return len(b), nil
		})
		wantKind(t, "Upload", s.c.Upload(ctx, v, endless, nil), fault.Unavailable, "the connection broke")
		check()
	})
}

func TestDownload(t *testing.T) {
	ctx := t.Context()
	h := lab.ForTest(t)
	s := newStore(t, h, t.TempDir())
	want := sparse(24*mib, Extent{0, 10 * mib})
	v := s.volume("v", "raw", len(want))
	if err := s.c.Upload(ctx, v, bytes.NewReader(want), nil); err != nil {
		t.Fatal(err)
	}

	t.Run("all or a part of a volume", func(t *testing.T) {
		for _, r := range []struct{ offset, length, end uint64 }{{0, 0, 24 * mib}, {5, 100, 105}, {20 * mib, 0, 24 * mib}} {
			var b bytes.Buffer
			n, err := s.c.Download(ctx, v, &b, r.offset, r.length)
			if err != nil || n != int64(r.end-r.offset) || !bytes.Equal(b.Bytes(), want[r.offset:r.end]) {
				t.Errorf("Download(%d, %d) = %d, %v; want bytes %d to %d", r.offset, r.length, n, err, r.offset, r.end)
			}
		}
	})

	t.Run("a writer that fails is named", func(t *testing.T) {
		check := leaks(t)
		_, err := s.c.Download(ctx, v, writeFunc(func([]byte) (int, error) { return 0, syscall.EPIPE }), 0, 0)
		if !errors.Is(err, syscall.EPIPE) {
			t.Errorf("Download = %v, want the writer's %v", err, syscall.EPIPE)
		}
		check()
	})

	t.Run("a slow writer is waited for and slows nothing down", func(t *testing.T) {
		c := newClient(t, Options{URI: s.c.URI().String(), PingInterval: 200 * time.Millisecond})
		if err := c.Do(ctx, version); err != nil {
			t.Fatal(err)
		}
		var once sync.Once
		n, err := c.Download(ctx, v, writeFunc(func(p []byte) (int, error) {
			once.Do(func() {
				time.Sleep(time.Second) // longer than three intervals
				begin := time.Now()
				if err := c.Do(ctx, version); err != nil || time.Since(begin) > time.Second {
					t.Errorf("Do during a slow download = %v after %v, want nil at once", err, time.Since(begin))
				}
			})
			return len(p), nil
		}), 0, 0)
		if err != nil || n != int64(len(want)) {
			t.Errorf("Download = %d, %v; want %d, nil", n, err, len(want))
		}
	})

	t.Run("four streams run at a time", func(t *testing.T) {
		var inside, most atomic.Int64
		var wg sync.WaitGroup
		for range 12 {
			wg.Go(func() {
				err := s.c.Stream(ctx, func(l *libvirt.Libvirt) error {
					n := inside.Add(1)
					defer inside.Add(-1)
					for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
					}
					time.Sleep(10 * time.Millisecond)
					return version(l)
				})
				if err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if most.Load() != maxStreams {
			t.Errorf("%d streams ran at once, want %d", most.Load(), maxStreams)
		}
	})
}

// FuzzSources checks that both sources give back exactly what they read,
// whatever the zeros, the reads and the bytes that must not become holes.
func FuzzSources(f *testing.F) {
	f.Add(uint32(300<<10), uint32(70<<10), uint32(100), uint32(200<<10))
	f.Add(uint32(1), uint32(0), uint32(0), uint32(0))
	f.Add(uint32(5<<20), uint32(64<<10), uint32(4<<20), uint32(1))
	f.Fuzz(func(t *testing.T, size, offset, length, dense uint32) {
		size %= 6 << 20
		offset = min(offset, size)
		length = min(length, size-offset)
		ext := []Extent{{int64(offset), int64(length)}}
		want := sparse(int(size), ext...)
		for name, src := range map[string]source{
			"scanner": &scanner{r: bytes.NewReader(want)},
			"picker":  &picker{src: bytes.NewReader(want), extents: ext, size: int64(size)},
		} {
			var got []byte
			buf := make([]byte, 1<<20)
			for {
				n, hole, err := src.next(buf, int64(dense)-int64(len(got)))
				if hole > 0 && int64(len(got)) < int64(dense) {
					t.Fatalf("%s made a hole at %d, below %d", name, len(got), dense)
				}
				if err == io.EOF {
					break
				}
				if err != nil || (n == 0 && hole == 0) {
					t.Fatalf("%s.next = %d, %d, %v; want content", name, n, hole, err)
				}
				got = append(append(got, buf[:n]...), make([]byte, hole)...)
			}
			if !bytes.Equal(got, want) {
				t.Fatalf("%s gave %d bytes that differ from the %d of the source", name, len(got), size)
			}
		}
	})
}
