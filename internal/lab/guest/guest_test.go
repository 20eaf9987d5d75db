package guest

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/novacron/terraform-provider-novacron/internal/cloudinit"
	"github.com/novacron/terraform-provider-novacron/internal/spec"
)

func build(t *testing.T) Image {
	t.Helper()
	img, err := Build(t.Context(), CacheDir(), t.Logf)
	if err != nil {
		t.Fatalf("Build: %v", err)
	}
	return img
}

func TestGuestBootsDirectlyAndServes(t *testing.T) {
	m := boot(t, direct(build(t))...)
	if line := m.await(t, Ready); line != Ready+" novacron-guest" {
		t.Errorf("the guest said %q, want the default host name", line)
	}
	m.await(t, "NOVACRON-GUEST-ADDRESS eth0 10.0.2.15")
	page := m.get(t, "/")
	for _, want := range []string{"hostname: novacron-guest\n", "uptime: ", "address: eth0 10.0.2.15\n"} {
		if !strings.Contains(page, want) {
			t.Errorf("GET / = %q, want it to contain %q", page, want)
		}
	}
	if id := m.get(t, "/boot_id"); len(strings.TrimSpace(id)) != 36 {
		t.Errorf("GET /boot_id = %q, want a UUID", id)
	}
	if got := m.load(t, 4*time.Second); got > 0.06 {
		t.Errorf("an idle guest keeps %.3f processors busy, want about 0.01", got)
	} else {
		t.Logf("an idle guest keeps %.3f processors busy", got)
	}
	m.command(t, "system_powerdown")
	pressed := time.Now()
	m.await(t, "NOVACRON-GUEST-DOWN novacron-guest")
	for range m.lines {
	}
	if took := time.Since(pressed); took > 10*time.Second {
		t.Errorf("the guest powered off after %v, want seconds", took)
	}
}

func TestGuestBurnsOneProcessorUntilCalmed(t *testing.T) {
	m := boot(t, append(direct(build(t)), "-smp", "2")...)
	m.await(t, "NOVACRON-GUEST-ADDRESS")
	for range 2 {
		if got := m.get(t, "/cgi-bin/burn?seconds=60"); !strings.Contains(got, "60 s") {
			t.Errorf("burn said %q", got)
		}
	}
	if page := m.get(t, "/"); !strings.Contains(page, "burning: yes\n") {
		t.Errorf("after burn GET / = %q, want it to say so", page)
	}
	// Another busy process of this machine may keep the guest from burning for
	// a while, so the test waits for the load; two burns would be about 2.
	var got float64
	for range 20 {
		if got = m.load(t, time.Second); got > 0.5 {
			break
		}
	}
	if got < 0.3 || got > 1.4 {
		t.Errorf("after two calls of burn %.2f processors are busy, want about 1", got)
	}
	m.get(t, "/cgi-bin/calm")
	time.Sleep(time.Second)
	if got := m.load(t, 2*time.Second); got > 0.2 {
		t.Errorf("after calm %.2f processors are busy, want none", got)
	}
	m.get(t, "/cgi-bin/burn?seconds=1")
	time.Sleep(3 * time.Second)
	if got := m.load(t, 2*time.Second); got > 0.2 {
		t.Errorf("after a burn of 1s is over %.2f processors are busy, want none", got)
	}
	if page := m.get(t, "/"); !strings.Contains(page, "burning: no\n") {
		t.Errorf("after the burn GET / = %q, want it to say so", page)
	}
	if got := m.get(t, "/cgi-bin/burn?seconds=$(reboot)"); !strings.Contains(got, "burn?seconds=N") {
		t.Errorf("burn with a wrong argument said %q, want how to use it", got)
	}
}

// seed writes the seed of a VM as the provider makes it.
func seed(t *testing.T, name, userData string) string {
	t.Helper()
	b, err := cloudinit.Seed(spec.VM{Name: name, CloudInit: &spec.CloudInit{UserData: userData}})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "seed.iso")
	if err := os.WriteFile(path, b, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestGuestReadsItsSeed(t *testing.T) {
	img := build(t)
	cases := []struct {
		name     string
		machine  string
		userData string
		device   []string // with the seed as drive "s"
		want     []string
	}{
		{"a script on a virtio disk", "q35", "#!/bin/sh\necho SCRIPT-RAN >/dev/ttyS0\n",
			[]string{"virtio-blk-pci,drive=s"}, []string{Ready + " web-1", "SCRIPT-RAN"}},
		{"cloud-config on an IDE CD", "pc", "#cloud-config\nhostname: \"from-config\" # here\n",
			[]string{"ide-cd,drive=s"}, []string{Ready + " from-config"}},
		{"cloud-config without a host name on a SCSI CD", "pc", "#cloud-config\npackages: []\n",
			[]string{"virtio-scsi-pci", "scsi-cd,drive=s"}, []string{Ready + " web-1"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			args := append(direct(img), "-M", c.machine, "-drive", "if=none,id=s,readonly=on,format=raw,file="+seed(t, "web-1", c.userData))
			for _, d := range c.device {
				args = append(args, "-device", d)
			}
			m := boot(t, args...)
			for _, want := range c.want {
				m.await(t, want)
			}
		})
	}
}

func TestGuestAsksForAnAddressOnANICPluggedInLater(t *testing.T) {
	m := boot(t, direct(build(t))...)
	m.await(t, "NOVACRON-GUEST-ADDRESS eth0")
	m.command(t, "netdev_add user,id=late,net=10.9.9.0/24")
	m.command(t, "device_add virtio-net-pci,netdev=late,romfile=")
	m.await(t, "NOVACRON-GUEST-ADDRESS eth1 10.9.9.15")
}

func TestGuestBootsFromAnOverlayOfItsDisk(t *testing.T) {
	img := build(t)
	overlay := filepath.Join(t.TempDir(), "overlay.qcow2")
	if out, err := exec.CommandContext(t.Context(), "qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", img.Disk, overlay).CombinedOutput(); err != nil {
		t.Fatalf("qemu-img create: %v: %s", err, out)
	}
	m := boot(t, "-M", "pc", "-drive", "file="+overlay+",format=qcow2,if=virtio")
	m.await(t, Ready)
}

func TestConcurrentBuildsGiveOneImage(t *testing.T) {
	dir := t.TempDir()
	var wg sync.WaitGroup
	images := make([]Image, 3)
	for i := range images {
		wg.Go(func() {
			img, err := Build(t.Context(), dir, nil)
			if err != nil {
				t.Errorf("Build %d: %v", i, err)
			}
			images[i] = img
		})
	}
	wg.Wait()
	for i, img := range images {
		if img != images[0] {
			t.Errorf("Build %d = %+v, want %+v", i, img, images[0])
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 2 {
		t.Errorf("the cache holds %v, want one image and the lock", entries)
	}
	if st, err := os.Stat(images[0].Disk); err != nil || st.Size() > 64<<20 {
		t.Errorf("Stat(%s) = %v, %v; want a disk of at most 64 MiB", images[0].Disk, st, err)
	}
}
