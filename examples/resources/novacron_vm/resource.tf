resource "novacron_volume" "debian" {
  name   = "debian-13"
  source = { file = "${path.module}/debian-13-generic-amd64.qcow2" }
}

resource "novacron_network" "lan" {
  name = "lan"
  cidr = "10.20.0.0/24"
}

# A useful VM in eight lines.
resource "novacron_vm" "web" {
  name     = "web-1"
  cpus     = 2
  memory   = "4GiB"
  disks    = { root = { backing = novacron_volume.debian.id, size = "20GiB" } }
  nics     = { lan = { network = novacron_network.lan.id } }
  ssh_keys = ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIExampleExampleExampleExampleExampleExample me@example"]
}

# The same with more said: when it counts as ready, and what a change may do to it.
resource "novacron_vm" "db" {
  name        = "db-1"
  description = "orders database"
  labels      = { team = "orders" }
  cpus        = 4
  memory      = "8GiB"
  autostart   = true

  disks = {
    root = { backing = novacron_volume.debian.id, size = "20GiB" }
    data = { size = "100GiB" }
  }
  nics = {
    lan = { network = novacron_network.lan.id, mac = "52:54:00:12:34:56" }
  }
  cloud_init = {
    user_data = <<-EOT
      #cloud-config
      packages: [postgresql]
    EOT
  }

  wait_for            = { ip = { nic = "lan" }, timeout = "5m" }
  shutdown            = { timeout = "2m" }
  update_policy       = { max_disruption = "reboot" }
  deletion_protection = false
}

# No network of its own: it reaches out through its host, and port 2222 of the
# host's loopback address leads to its SSH. This works without privileges.
resource "novacron_vm" "tiny" {
  name    = "tiny"
  cpus    = 1
  memory  = "128MiB"
  kernel  = "/var/lib/novacron/vmlinuz"
  initrd  = "/var/lib/novacron/initrd"
  cmdline = "console=ttyS0"
  nics    = { out = { forward = { 2222 = 22 } } }
}

output "ip" {
  value = novacron_vm.db.ip
}
