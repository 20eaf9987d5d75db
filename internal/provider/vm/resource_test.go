package vm_test

import (
	"testing"

	"github.com/hashicorp/terraform-plugin-testing/helper/resource"

	"github.com/novacron/terraform-provider-novacron/internal/provider/acctest"
)

func TestMain(m *testing.M) { acctest.Main(m) }

func TestSmallestVM(t *testing.T) {
	w := acctest.NewWorld()
	w.Run(t, resource.TestStep{
		Config: acctest.Config(`
resource "novacron_volume" "v" {
  name = "data"
  size = "1GiB"
}
resource "novacron_network" "lan" {
  name = "lan"
  cidr = "10.20.0.0/24"
}
resource "novacron_vm" "web" {
  name   = "web"
  cpus   = 1
  memory = "128MiB"
  kernel = "/boot/vmlinuz"
  disks  = { root = { size = "2GiB" }, data = { volume = novacron_volume.v.id } }
  nics   = { lan = { network = novacron_network.lan.id } }
}`),
		Check: resource.ComposeAggregateTestCheckFunc(
			resource.TestCheckResourceAttr("novacron_vm.web", "status", "running"),
			resource.TestCheckResourceAttr("novacron_vm.web", "disks.root.size", "2GiB"),
			resource.TestCheckResourceAttr("novacron_vm.web", "location", "sim"),
		),
	})
}
