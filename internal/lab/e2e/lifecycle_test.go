//go:build linux

package e2e

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// freePort returns a TCP port of the loopback that nobody listens on now.
func freePort(t *testing.T) int {
	t.Helper()
	l := listen(t)
	defer l.Close()
	return portOf(l)
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func portOf(l net.Listener) int { return l.Addr().(*net.TCPAddr).Port }

// get returns the page of a guest.
func get(t *testing.T, url string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatalf("GET %s: %v", url, err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("GET %s: %v", url, err)
	}
	return strings.TrimSpace(string(b))
}

func TestAVMWithDiskSeedForwardAndNetworkIsReadyWhenApplyReturns(t *testing.T) {
	h := sharedHost(t)
	port := freePort(t)
	w := newWorkspace(t, h.URI(), fmt.Sprintf(`
resource "novacron_volume" "base" {
  name   = "base"
  format = "raw"
  source = { file = %q }
}
resource "novacron_network" "lan" {
  name = "lan"
  cidr = "%s.0/24"
}
resource "novacron_vm" "web" {
  name   = "web"
  cpus   = 1
  memory = "128MiB"
  disks  = { root = { backing = novacron_volume.base.id, size = "256MiB" } }
  nics = {
    lan  = { network = novacron_network.lan.id }
    user = { forward = { %d = 80 } }
  }
  cloud_init = { user_data = "#!/bin/sh\necho seeded > /run/motd\n" }
  labels     = { role = "web" }
  wait_for   = { ip = { nic = "lan" }, tcp = 80, timeout = "90s", on_timeout = "fail" }
}
`, bench.img.Disk, h.Subnet(0), port))
	r := w.mustApply()
	t.Logf("apply: %.1fs", r.took.Seconds())
	vm := w.state()["novacron_vm.web"]
	if vm["ready"] != true || vm["status"] != "running" || !strings.HasPrefix(fmt.Sprint(vm["ip"]), h.Subnet(0)+".") {
		t.Errorf("state: ready %v, status %v, ip %v; want true, running, an address of the network", vm["ready"], vm["status"], vm["ip"])
	}
	if page := get(t, fmt.Sprintf("http://%s/", vm["ip"])); !strings.Contains(page, "web") {
		t.Errorf("the guest at its address says %q, want the name from its seed", page)
	}
	if page := get(t, fmt.Sprintf("http://127.0.0.1:%d/", port)); !strings.Contains(page, "web") {
		t.Errorf("the guest at the forwarded port says %q, want the name from its seed", page)
	}
	if got := virsh(t, h, "domstate", "web"); got != "running" {
		t.Errorf("libvirt says that the VM is %s, want running", got)
	}
	if got := virsh(t, h, "domuuid", "web"); got != vm["id"] {
		t.Errorf("libvirt's UUID is %s, the state's id %v", got, vm["id"])
	}
	w.mustBeDone()
	r = w.mustDestroy()
	t.Logf("destroy: %.1fs", r.took.Seconds())
	if left := w.state(); len(left) != 0 {
		t.Errorf("the state after destroy has %v, want nothing", left)
	}
}

func TestAVMThatBootsAKernelIsReadyWhenApplyReturns(t *testing.T) {
	h := sharedHost(t)
	port := freePort(t)
	w := newWorkspace(t, h.URI(), kernelVM("kernel", port, ""))
	w.mustApply()
	if page := get(t, fmt.Sprintf("http://127.0.0.1:%d/", port)); page == "" {
		t.Error("the guest answers with nothing")
	}
	w.mustBeDone()
	w.mustDestroy()
}

// kernelVM is a VM that boots the guest's kernel and is reached by a forwarded
// port. more is further attributes.
func kernelVM(name string, port int, more string) string {
	return kernelVMSized(name, port, 1, "128MiB", more)
}

func kernelVMSized(name string, port, cpus int, memory, more string) string {
	return fmt.Sprintf(`
resource "novacron_vm" %q {
  name     = %q
  cpus     = %d
  memory   = %q
  kernel   = %q
  initrd   = %q
  cmdline  = "console=ttyS0 quiet"
  nics     = { user = { forward = { %d = 80 } } }
  wait_for = { tcp = 80, timeout = "90s", on_timeout = "fail" }
  %s
}
`, name, name, cpus, memory, bench.img.Kernel, bench.img.Initrd, port, more)
}
