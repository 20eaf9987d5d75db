// Package cloudinit renders what a guest's cloud-init reads: a NoCloud seed, as
// the bytes of an ISO 9660 image, in memory.
package cloudinit

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/kdomanski/iso9660"
	"go.yaml.in/yaml/v3"

	"github.com/novacron/terraform-provider-novacron/internal/spec"
)

// Label is the volume label by which cloud-init finds a seed.
const Label = "cidata"

// metaData is the NoCloud meta-data. cloud-init runs its per-instance modules
// once for each instance-id.
type metaData struct {
	InstanceID    string   `yaml:"instance-id"`
	LocalHostname string   `yaml:"local-hostname"`
	PublicKeys    []string `yaml:"public-keys,omitempty"`
}

// Seed returns the image of the VM's seed. Its instance-id follows the contents,
// so that changed contents are applied at the next start. The image carries the
// time of its making: equal contents do not give equal bytes.
func Seed(vm spec.VM) ([]byte, error) {
	digest := vm.SeedDigest()
	if digest == "" {
		return nil, fmt.Errorf("VM %q has neither cloud_init nor ssh_keys: there is nothing to render", vm.Name)
	}
	var c spec.CloudInit
	if vm.CloudInit != nil {
		c = *vm.CloudInit
	}
	meta, err := yaml.Marshal(metaData{
		InstanceID: spec.ShortID(vm.UUID) + "-" + digest[:16], LocalHostname: vm.Name, PublicKeys: vm.SSHKeys,
	})
	if err != nil {
		return nil, fmt.Errorf("meta-data of VM %q: %w", vm.Name, err)
	}
	w, err := iso9660.NewWriter()
	if err != nil {
		return nil, fmt.Errorf("seed of VM %q: %w", vm.Name, err)
	}
	defer func() { _ = w.Cleanup() }() // of a temporary directory
	files := []struct{ name, content string }{
		{"meta-data", string(meta)},
		{"user-data", userData(c.UserData)},
		{"network-config", c.NetworkConfig},
		{"vendor-data", c.VendorData},
	}
	for _, f := range files {
		if f.content == "" {
			continue
		}
		if err := w.AddFile(strings.NewReader(f.content), f.name); err != nil {
			return nil, fmt.Errorf("seed of VM %q: add %s: %w", vm.Name, f.name, err)
		}
	}
	var out bytes.Buffer
	if err := w.WriteTo(&out, Label); err != nil {
		return nil, fmt.Errorf("seed of VM %q: %w", vm.Name, err)
	}
	return out.Bytes(), nil
}

// userData returns the user data; a seed without the file is none to cloud-init.
func userData(s string) string {
	if s == "" {
		return "#cloud-config\n{}\n"
	}
	return s
}
