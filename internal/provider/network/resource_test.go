package network_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/novacron/terraform-provider-novacron/internal/provider/acctest"
	"github.com/novacron/terraform-provider-novacron/internal/spec"
)

func TestMain(m *testing.M) { acctest.Main(m) }

// lan returns a network "lan" with the attributes.
func lan(attributes ...string) string {
	return fmt.Sprintf("resource \"novacron_network\" \"lan\" {\n  name = \"lan\"\n  %s\n}\n", strings.Join(attributes, "\n  "))
}

const cidr = `cidr = "10.20.0.0/24"`

func TestLifeOfANetwork(t *testing.T) {
	t.Parallel()
	w := acctest.NewWorld()
	c := w.CLI(t)
	c.Write(lan(cidr))
	c.MustApply()
	c.MustBeEmpty()
	a := c.Attributes("novacron_network.lan")
	id := spec.Identity("acctest", "network", "lan", "nat", "10.20.0.0/24", "true", "")
	if a["id"] != id || a["mode"] != "nat" || a["dhcp"] != true || a["active"] != true || a["location"] != "sim" || a["bridge"] == "" {
		t.Errorf("state = %v; want an active NAT network with the identity of its configuration", a)
	}
	for _, change := range [][]string{{`cidr = "10.21.0.0/24"`}, {cidr, `mode = "isolated"`}, {cidr, "dhcp = false"}, {cidr, `domain = "lan.example"`}, {cidr, `target = "other"`}, {cidr, `target = "sim"`}} {
		c.Write(lan(change...))
		r := c.MustApply()
		if r.Actions["novacron_network.lan"] != "replace" {
			t.Errorf("%v: plan = %v; want a replacement", change, r.Actions)
		}
		if len(r.Warns) > 0 {
			t.Errorf("%v: warnings %v; want none", change, r.Warns)
		}
		c.MustBeEmpty()
	}
	if r := c.Apply("-replace=novacron_network.lan"); r.Failed || len(r.Warns) > 0 {
		t.Errorf("-replace: failed %t, warnings %v; want neither\n%s", r.Failed, r.Warns, r.Output)
	}
	if r := c.Destroy(); r.Failed {
		t.Fatalf("destroy failed:\n%s", r.Output)
	}
	if _, _, networks, err := w.Host("sim").Hand().Inventory(); err != nil || len(networks) > 0 {
		t.Errorf("destroy left %v, %v", networks, err)
	}
}

func TestAStoppedNetworkIsStartedAgain(t *testing.T) {
	t.Parallel()
	w := acctest.NewWorld()
	c := w.CLI(t)
	c.Write(lan(cidr))
	c.MustApply()
	if err := w.Host("sim").Hand().StopNetwork("lan"); err != nil {
		t.Fatal(err)
	}
	if r := c.Plan(); r.Actions["novacron_network.lan"] != "update" {
		t.Errorf("plan = %v; want an update\n%s", r.Actions, r.Output)
	}
	c.MustApply()
	c.MustBeEmpty()
	if n, err := w.Host("sim").FindNetwork(t.Context(), "lan"); err != nil || !n.Active {
		t.Errorf("network %+v, %v; want it active", n, err)
	}
}

func TestImportThenPlanIsEmpty(t *testing.T) {
	t.Parallel()
	w := acctest.NewWorld()
	c := w.CLI(t)
	for _, config := range []string{lan(cidr), lan(cidr, `target = "sim"`), lan(cidr, `mode = "isolated"`, "dhcp = false", `domain = "a.b"`)} {
		c.Write(config)
		c.MustApply()
		for _, ref := range []string{"lan", "sim/lan", c.Attributes("novacron_network.lan")["id"].(string)} {
			if out, err := c.Do("state", "rm", "novacron_network.lan"); err != nil {
				t.Fatalf("state rm: %v\n%s", err, out)
			}
			if out, err := c.Do("import", "novacron_network.lan", ref); err != nil {
				t.Fatalf("import %s: %v\n%s", ref, err, out)
			}
			c.MustBeEmpty()
		}
		if r := c.Destroy(); r.Failed {
			t.Fatalf("destroy failed:\n%s", r.Output)
		}
	}
}

func TestBadInputIsRefusedAtItsAttribute(t *testing.T) {
	t.Parallel()
	w := acctest.NewWorld()
	c := w.CLI(t)
	for _, tc := range []struct {
		attributes         []string
		summary, attribute string
		words              []string
	}{
		{[]string{`cidr = "10.20.0.5/24"`}, "Invalid Network", `cidr = "10.20.0.5/24"`, []string{"host bits set", "10.20.0.0/24"}},
		{[]string{`cidr = "lan"`}, "Invalid Network", `cidr = "lan"`, []string{"IPv4 range"}},
		{[]string{`cidr = "fd00::/64"`}, "Invalid Network", `cidr = "fd00::/64"`, []string{"IPv4 range"}},
		{[]string{cidr, `mode = "bridge"`}, "Invalid Network", `mode = "bridge"`, []string{`"nat"`}},
		{[]string{cidr, `domain = "a b"`}, "Invalid Network", `domain = "a b"`, []string{"not a DNS domain"}},
		{[]string{cidr, `target = "mars"`}, "Unable to Plan Network", `target = "mars"`, []string{"no target"}},
	} {
		c.Write(lan(tc.attributes...))
		r := c.Plan()
		if d := r.Errors; len(d) == 0 {
			t.Errorf("%v: the plan went through", tc.attributes)
			continue
		}
		c.WantError(r, tc.summary, tc.attribute, tc.words...)
	}
	c.Write(lan(cidr) + strings.Replace(lan(`cidr = "10.21.0.0/24"`), `"novacron_network" "lan"`, `"novacron_network" "again"`, 1))
	c.WantError(c.Plan(), "Unable to Plan Network", `name = "lan"`, "another network of this configuration")
	if _, err := w.Host("sim").CreateNetwork(t.Context(), foreign(t)); err != nil {
		t.Fatal(err)
	}
	c.Write(lan(cidr))
	c.WantError(c.Plan(), "Network Exists Already", `name = "lan"`, "terraform import novacron_network.NAME sim/lan")
}

func foreign(t *testing.T) spec.Network {
	t.Helper()
	n := spec.Network{UUID: spec.Identity("them", "network", "lan"), Name: "lan", Mode: spec.ModeNAT, DHCP: true}
	if err := n.CIDR.UnmarshalText([]byte("10.30.0.0/24")); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestANetworkInUseIsNotDeleted(t *testing.T) {
	t.Parallel()
	w := acctest.NewWorld()
	c := w.CLI(t)
	c.Write(lan(cidr))
	c.MustApply()
	vm := spec.VM{UUID: spec.Identity("them", "vm", "theirs"), Name: "theirs", CPUs: 1, Memory: 128 * spec.MiB, Power: spec.Running, NICs: map[string]spec.NIC{"n": {Network: "lan"}}}
	if _, err := w.Host("sim").CreateVM(t.Context(), vm); err != nil {
		t.Fatal(err)
	}
	c.Write(lan(cidr, `timeouts = { delete = "1s" }`))
	c.MustApply()
	c.WantError(c.Destroy(), "Unable to Delete Network", "", "theirs")
	if err := w.Host("sim").Hand().DeleteVM("theirs"); err != nil {
		t.Fatal(err)
	}
	if r := c.Destroy(); r.Failed {
		t.Errorf("destroy failed:\n%s", r.Output)
	}
}

func TestDriftAndLoss(t *testing.T) {
	t.Parallel()
	w := acctest.NewWorld()
	c := w.CLI(t)
	c.Write(lan(cidr))
	c.MustApply()
	w.Down("sim", true)
	c.WantError(c.Plan(), "Unable to Read Network", "", "no answer from sim")
	w.Down("sim", false)
	if err := w.Host("sim").Hand().DeleteNetwork("lan"); err != nil {
		t.Fatal(err)
	}
	if r := c.MustApply(); r.Actions["novacron_network.lan"] != "create" {
		t.Errorf("after a loss: plan = %v; want it created", r.Actions)
	}
	c.LoseState()
	c.WantWarning(c.Plan(), "Network Will Be Adopted", "name", "taken over")
	c.MustApply()
	c.MustBeEmpty()
}
