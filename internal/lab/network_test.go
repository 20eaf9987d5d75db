//go:build linux

package lab

import (
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"libvirt.org/go/libvirtxml"

	"github.com/novacron/terraform-provider-novacron/internal/lab/guest"
)

type marshaler interface{ Marshal() (string, error) }

// file writes a definition where every user may read it.
func file(t *testing.T, x marshaler) string {
	t.Helper()
	content, err := x.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.CreateTemp("", "lab-*.xml")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Remove(f.Name()) })
	if _, err := f.WriteString(content); err != nil {
		t.Fatal(err)
	}
	if err := f.Chmod(0o644); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return f.Name()
}

// nat is a NAT network with DHCP on prefix.0/24.
func nat(prefix string) *libvirtxml.Network {
	return &libvirtxml.Network{
		Name:    "lan",
		Forward: &libvirtxml.NetworkForward{Mode: "nat"},
		IPs: []libvirtxml.NetworkIP{{
			Address: prefix + ".1", Netmask: "255.255.255.0",
			DHCP: &libvirtxml.NetworkDHCP{Ranges: []libvirtxml.NetworkDHCPRange{{Start: prefix + ".10", End: prefix + ".99"}}},
		}},
	}
}

// linux is a guest that boots the image directly on the network "lan".
func linux(img guest.Image) *libvirtxml.Domain {
	return &libvirtxml.Domain{
		Type: "qemu", Name: "linux",
		Memory: &libvirtxml.DomainMemory{Value: 128, Unit: "MiB"},
		VCPU:   &libvirtxml.DomainVCPU{Value: 1},
		OS: &libvirtxml.DomainOS{
			Type:   &libvirtxml.DomainOSType{Arch: "x86_64", Machine: "pc", Type: "hvm"},
			Kernel: img.Kernel, Initrd: img.Initrd, Cmdline: guest.Cmdline,
		},
		Features: &libvirtxml.DomainFeatureList{ACPI: &libvirtxml.DomainFeature{}},
		Devices: &libvirtxml.DomainDeviceList{
			Interfaces: []libvirtxml.DomainInterface{{
				Source: &libvirtxml.DomainInterfaceSource{Network: &libvirtxml.DomainInterfaceSourceNetwork{Network: "lan"}},
				Model:  &libvirtxml.DomainInterfaceModel{Type: "virtio"},
			}},
			Serials: []libvirtxml.DomainSerial{{}},
		},
	}
}

// within returns what get returns once it is not empty.
func within(t *testing.T, limit time.Duration, what string, get func() string) string {
	t.Helper()
	for deadline := time.Now().Add(limit); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		if s := get(); s != "" {
			return s
		}
	}
	t.Fatalf("no %s within %v", what, limit)
	return ""
}

func TestGuestOfANATNetworkIsReachableFromTheMachine(t *testing.T) {
	img, err := guest.Build(t.Context(), guest.CacheDir(), t.Logf)
	if err != nil {
		t.Fatal(err)
	}
	h := ForTest(t)
	virsh(t, h, "net-create", file(t, nat(h.Subnet(0))))
	virsh(t, h, "create", file(t, linux(img)))
	started := time.Now()
	address := within(t, time.Minute, "lease", func() string {
		out, err := h.Virsh(t.Context(), "net-dhcp-leases", "lan")
		if err != nil {
			t.Fatal(err)
		}
		for word := range strings.FieldsSeq(out) {
			if ip, _, err := net.ParseCIDR(word); err == nil {
				return ip.String()
			}
		}
		return ""
	})
	t.Logf("%6.3fs a lease: %s", time.Since(started).Seconds(), address)
	page := within(t, 20*time.Second, "answer on HTTP", func() string { return get(t.Context(), "http://"+address+"/") })
	if !strings.Contains(page, "address: eth0 "+address) {
		t.Errorf("GET http://%s/ = %q, want the guest's own address in it", address, page)
	}
	virsh(t, h, "shutdown", "linux")
	started = time.Now()
	within(t, 20*time.Second, "end of the guest", func() string {
		if out, _ := h.Virsh(t.Context(), "list", "--name"); strings.TrimSpace(out) == "" {
			return "gone"
		}
		return ""
	})
	t.Logf("%6.3fs shutdown", time.Since(started).Seconds())
}

// get returns the page, or nothing when there is none.
func get(ctx context.Context, url string) string {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return ""
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return ""
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return ""
	}
	return string(b)
}
