package cloudinit

import (
	"bytes"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/kdomanski/iso9660"

	"github.com/novacron/terraform-provider-novacron/internal/spec"
)

// files reads a seed back as a guest would.
func files(t *testing.T, iso []byte) (label string, content map[string]string) {
	t.Helper()
	img, err := iso9660.OpenImage(bytes.NewReader(iso))
	if err != nil {
		t.Fatal(err)
	}
	if label, err = img.Label(); err != nil {
		t.Fatal(err)
	}
	root, err := img.RootDir()
	if err != nil {
		t.Fatal(err)
	}
	children, err := root.GetChildren()
	if err != nil {
		t.Fatal(err)
	}
	content = map[string]string{}
	for _, f := range children {
		b, err := io.ReadAll(f.Reader())
		if err != nil {
			t.Fatal(err)
		}
		content[f.Name()] = string(b)
	}
	return label, content
}

func TestSeedHoldsWhatCloudInitReads(t *testing.T) {
	vm := spec.VM{
		UUID: "6a1b0000-0000-5000-8000-000000000001", Name: "web-1", SSHKeys: []string{"ssh-ed25519 AAAA me@x"},
		CloudInit: &spec.CloudInit{UserData: "#!/bin/sh\necho hi: \"there\"\n", NetworkConfig: "version: 2\n"},
	}
	iso, err := Seed(vm)
	if err != nil {
		t.Fatal(err)
	}
	label, got := files(t, iso)
	if strings.TrimSpace(label) != Label {
		t.Errorf("label = %q, want %q", label, Label)
	}
	want := map[string]string{
		"meta-data":      "instance-id: 6a1b0000-" + vm.SeedDigest()[:16] + "\nlocal-hostname: web-1\npublic-keys:\n    - ssh-ed25519 AAAA me@x\n",
		"user-data":      vm.CloudInit.UserData,
		"network-config": "version: 2\n",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("files of the seed (-want +got):\n%s", diff)
	}
}

func TestSeedWithKeysOnlyStillHasUserData(t *testing.T) {
	iso, err := Seed(spec.VM{UUID: "6a1b0000-x", Name: "x", SSHKeys: []string{"k"}})
	if err != nil {
		t.Fatal(err)
	}
	if _, got := files(t, iso); got["user-data"] == "" {
		t.Error("a seed without user-data is no seed to cloud-init")
	}
}

func TestNothingToRenderIsAnError(t *testing.T) {
	if _, err := Seed(spec.VM{Name: "x"}); err == nil {
		t.Error("Seed of a VM without cloud_init and keys succeeded, want an error")
	}
}
