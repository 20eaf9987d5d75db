package spec

import (
	"regexp"
	"testing"
)

// The identities are written into platforms: a release that computes others
// would not find what an earlier one made. Never change a value here.
func TestIdentityIsTheSameForEver(t *testing.T) {
	cases := []struct {
		parts []string
		want  string
	}{
		{[]string{"owner", "vm", "web-1"}, "86ec9928-bc0f-557b-b7ae-63443661bfe5"},
		{[]string{"owner", "vm", "web-2"}, "65b0a1ee-dfec-50a0-96b5-ea7313622e0f"},
		{[]string{"owner", "vm", "web-1", "x"}, "57e3940b-3913-54a6-80a6-67c5e7d1f6c6"},
		{[]string{"", "", ""}, "fcd675d3-c12e-5d9a-a136-66db8d282cac"},
	}
	for _, c := range cases {
		if got := Identity(c.parts[0], c.parts[1], c.parts[2], c.parts[3:]...); got != c.want {
			t.Errorf("Identity(%q) = %s, want %s", c.parts, got, c.want)
		}
	}
}

func TestIdentityTellsPartsApart(t *testing.T) {
	seen := map[string][]string{}
	form := regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)
	for _, parts := range [][]string{
		{"a", "b", "c"}, {"ab", "", "c"}, {"a", "bc", ""}, {"", "ab", "c"}, {"a", "b", "c", ""}, {"a", "b", "", "c"}, {"a", "b", "c", "d", "e"},
		{"a", "b", "c", "de"}, {"a", "b", "c", "d1:e"}, {"1:a", "b", "c"},
	} {
		id := Identity(parts[0], parts[1], parts[2], parts[3:]...)
		if other := seen[id]; other != nil {
			t.Errorf("Identity(%q) = Identity(%q)", parts, other)
		}
		if !form.MatchString(id) {
			t.Errorf("Identity(%q) = %s: not a UUID of version 5", parts, id)
		}
		seen[id] = parts
	}
}

func TestMACFor(t *testing.T) {
	v := VM{UUID: "11111111-1111-4111-8111-111111111111", NICs: map[string]NIC{"lan": {}, "wan": {MAC: "52:54:00:00:00:01"}}}
	if got := v.MACFor("wan"); got != "52:54:00:00:00:01" {
		t.Errorf("MACFor(wan) = %s, want its own", got)
	}
	if got := v.MACFor("lan"); got != "52:54:00:ef:c5:b2" { // guests know their leases by it: never change it
		t.Errorf("MACFor(lan) = %s", got)
	}
	other := VM{UUID: "22222222-2222-4222-8222-222222222222"}
	if v.MACFor("lan") == other.MACFor("lan") || v.MACFor("lan") == v.MACFor("lan2") {
		t.Errorf("MACFor does not tell VMs or keys apart: %s %s %s", v.MACFor("lan"), other.MACFor("lan"), v.MACFor("lan2"))
	}
}

func TestNamesOfVolumes(t *testing.T) {
	v := Volume{Name: "data", UUID: "1a2b3c4d-1111-4111-8111-111111111111", Format: FormatRaw}
	if got := v.OwnName(); got != "data.1a2b3c4d.raw" {
		t.Errorf("OwnName() = %s", got)
	}
	for id, ok := range map[string]bool{"default/a": true, "a": false, "/a": false, "a/": false, "a/b/c": false, "": false} {
		pool, name, got := SplitVolumeID(id)
		if got != ok || ok && VolumeID(pool, name) != id {
			t.Errorf("SplitVolumeID(%q) = %q, %q, %v; want %v", id, pool, name, got, ok)
		}
	}
}

func TestSeedDigestTellsContentsApart(t *testing.T) {
	base := VM{Name: "web", CloudInit: &CloudInit{UserData: "u", NetworkConfig: "n", VendorData: "v"}, SSHKeys: []string{"a", "b"}}
	seen := map[string]string{}
	for name, edit := range map[string]func(*VM){
		"the base":             func(*VM) {},
		"another host name":    func(v *VM) { v.Name = "db" },
		"other user data":      func(v *VM) { v.CloudInit.UserData = "x" },
		"data in other places": func(v *VM) { v.CloudInit.UserData, v.CloudInit.NetworkConfig = "n", "u" },
		"joined keys":          func(v *VM) { v.SSHKeys = []string{"ab"} },
		"no keys":              func(v *VM) { v.SSHKeys = nil },
		"keys only":            func(v *VM) { v.CloudInit = nil },
	} {
		v := base
		c := *base.CloudInit
		v.CloudInit = &c
		edit(&v)
		digest := v.SeedDigest()
		if other, taken := seen[digest]; taken || digest == "" {
			t.Errorf("SeedDigest of %s = %q, as of %s", name, digest, other)
		}
		seen[digest] = name
		if read := (&VM{Name: "read", CloudInit: &CloudInit{Digest: digest}}); read.SeedDigest() != digest {
			t.Errorf("SeedDigest of what was read = %q, want what was written: %q", read.SeedDigest(), digest)
		}
		if cloud, keys := SeedParts(digest); cloud != (v.CloudInit != nil) || keys != (len(v.SSHKeys) > 0) {
			t.Errorf("SeedParts of %s = %v, %v", name, cloud, keys)
		}
	}
	if got := (&VM{Name: "web"}).SeedDigest(); got != "" {
		t.Errorf("SeedDigest without a seed = %q, want none", got)
	}
}

func TestTargetKind(t *testing.T) {
	for want, target := range map[string]Target{"libvirt": {Libvirt: &LibvirtTarget{}}, "sim": {Sim: &SimTarget{}}, "": {}} {
		if got := target.Kind(); got != want {
			t.Errorf("Kind() = %q, want %q", got, want)
		}
	}
}
