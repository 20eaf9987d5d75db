package vm_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/novacron/terraform-provider-novacron/internal/provider/acctest"
	"github.com/novacron/terraform-provider-novacron/internal/spec"
)

// forget removes the VM from the state without touching it, and imports it.
func reimport(t *testing.T, c *acctest.CLI, id string) {
	t.Helper()
	if out, err := c.Do("state", "rm", "novacron_vm.web"); err != nil {
		t.Fatalf("state rm: %v\n%s", err, out)
	}
	if out, err := c.Do("import", "novacron_vm.web", id); err != nil {
		t.Fatalf("import %s: %v\n%s", id, err, out)
	}
}

func TestImportThenPlanIsEmpty(t *testing.T) {
	t.Parallel()
	w := acctest.NewWorld()
	c := w.CLI(t)
	uuid := spec.Identity("acctest", "vm", "web")
	if _, err := w.Host("sim").CreateVolume(t.Context(), spec.Volume{UUID: spec.Identity("x", "volume", "base"), Name: "base", Size: spec.GiB, Format: "qcow2"}); err != nil {
		t.Fatal(err)
	}
	base := "default/base." + spec.ShortID(spec.Identity("x", "volume", "base")) + ".qcow2"
	for what, config := range map[string]string{
		"the smallest":         web(),
		"without keys of ours": web(`description = "d"`, `autostart = true`),
		"labels and devices": web(`labels = { a = "b" }`, `disks = { root = { size = "1GiB" }, over = { backing = "`+base+`" }, fast = { pool = "fast", size = "1GiB" }, big = { backing = "`+base+`", size = "4096MiB" } }`,
			`nics = { a = {}, b = { mac = "52:54:00:aa:bb:cc", model = "e1000", forward = { 8080 = 80 } } }`),
		"switched off":     web(`power_state = "stopped"`),
		"ssh keys":         web(`ssh_keys = ["ssh-ed25519 AAAA x"]`),
		"user data":        web(`cloud_init = { user_data = "#cloud-config" }`),
		"all of a seed":    web(`cloud_init = { user_data = "u", network_config = "n", vendor_data = "v" }`, `ssh_keys = ["k"]`),
		"write-only data":  web(`cloud_init = { user_data_wo = "secret", user_data_wo_version = 7 }`),
		"naming its place": web(`target = "sim"`),
	} {
		c.Write(config)
		c.MustApply()
		ids := []string{"web"}
		if what == "the smallest" {
			ids = append(ids, uuid, "sim/web", "sim/"+strings.ToUpper(uuid))
		}
		for _, id := range ids {
			reimport(t, c, id)
			t.Logf("%s, imported as %s", what, id)
			c.MustBeEmpty()
		}
		if r := c.Destroy(); r.Failed {
			t.Fatalf("%s: destroy failed:\n%s", what, r.Output)
		}
	}
	for id, words := range map[string]string{"ghost": "ghost", "mars/web": `no target "mars"`, "a/b/c": "TARGET/NAME", "sim/": "TARGET/NAME"} {
		c.Write(web())
		if out, err := c.Do("import", "novacron_vm.web", id); err == nil || !strings.Contains(strings.Join(strings.Fields(out), " "), words) {
			t.Errorf("import %s = %v\n%s\nwant an error that says %q", id, err, out, words)
		}
	}
}

func TestAnImportedSeedFollowsItsInputsOnceTheyChange(t *testing.T) {
	t.Parallel()
	w := acctest.NewWorld()
	c := w.CLI(t)
	c.Write(web(`cloud_init = { user_data = "one" }`))
	c.MustApply()
	reimport(t, c, "web")
	c.MustBeEmpty()
	c.Write(web(`cloud_init = { user_data = "one" }`, `description = "x"`))
	if r := c.MustApply(); len(r.Warns) > 0 {
		t.Errorf("another change of an imported VM warns: %v; want the seed left alone", r.Warns)
	}
	c.MustBeEmpty()
	c.Write(web(`cloud_init = { user_data = "two" }`, `description = "x"`))
	r := c.Plan()
	if r.Actions["novacron_vm.web"] != "update" {
		t.Fatalf("plan = %v; want an update\n%s", r.Actions, r.Output)
	}
	c.WantWarning(r, "VM Will Be Rebooted", "", "cloud_init")
	c.MustApply()
	c.MustBeEmpty()
	info, err := w.Host("sim").VM(t.Context(), spec.Identity("acctest", "vm", "web"))
	want := spec.VM{Name: "web", CloudInit: &spec.CloudInit{UserData: "two"}}
	if err != nil || info.SeedDigest() != want.SeedDigest() {
		t.Errorf("the seed is %q, %v; want %q", info.SeedDigest(), err, want.SeedDigest())
	}
	c.Write(web(`description = "x"`))
	c.MustApply()
	c.MustBeEmpty()
	if info, err = w.Host("sim").VM(t.Context(), info.UUID); err != nil || info.SeedDigest() != "" {
		t.Errorf("the seed is %q, %v; want none", info.SeedDigest(), err)
	}
}

func TestWriteOnlyUserDataIsNowhereAndFollowsItsVersion(t *testing.T) {
	t.Parallel()
	w := acctest.NewWorld()
	c := w.CLI(t)
	seed := func(data, version string) string {
		return web(`cloud_init = { user_data_wo = "` + data + `", user_data_wo_version = ` + version + ` }`)
	}
	c.Write(seed("hunter2", "1"))
	c.MustApply()
	c.MustBeEmpty()
	digest := func() string {
		info, err := w.Host("sim").VM(t.Context(), spec.Identity("acctest", "vm", "web"))
		if err != nil {
			t.Fatal(err)
		}
		return info.SeedDigest()
	}
	want := spec.VM{Name: "web", CloudInit: &spec.CloudInit{UserData: "hunter2"}}
	if digest() != want.SeedDigest() {
		t.Errorf("the seed is %q; want that of the write-only data", digest())
	}
	state, err := os.ReadFile(filepath.Join(c.Dir, "terraform.tfstate"))
	if err != nil || strings.Contains(string(state), "hunter2") {
		t.Errorf("the state (%v) holds the write-only data", err)
	}
	before := digest()
	c.Write(seed("changed", "1"))
	c.MustBeEmpty()
	c.Write(strings.Replace(seed("changed", "1"), "128MiB", "256MiB", 1))
	c.MustApply()
	if digest() != before {
		t.Error("another change brought the new user data along; want the version to decide")
	}
	c.Write(strings.Replace(seed("changed", "2"), "128MiB", "256MiB", 1))
	c.MustApply()
	c.MustBeEmpty()
	if digest() == before {
		t.Error("a new version did not apply the new user data")
	}
}

func TestSeedThatSomebodyRemovedIsMadeAgain(t *testing.T) {
	t.Parallel()
	w := acctest.NewWorld()
	c := w.CLI(t)
	id := spec.Identity("acctest", "vm", "web")
	for _, config := range []string{web(`cloud_init = { user_data = "u" }`), web(`cloud_init = { user_data_wo = "u", user_data_wo_version = 1 }`)} {
		c.Write(config)
		c.MustApply()
		if err := w.Edit("sim", id, func(v *spec.VM) { v.CloudInit, v.SSHKeys = nil, nil }); err != nil {
			t.Fatal(err)
		}
		if r := c.Plan(); r.Actions["novacron_vm.web"] != "update" {
			t.Errorf("plan = %v; want an update\n%s", r.Actions, r.Output)
		}
		c.MustApply()
		c.MustBeEmpty()
	}
}
