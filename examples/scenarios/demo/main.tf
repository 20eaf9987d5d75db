# Two small VMs from one image: what `make demo` applies.
# The guest image must serve HTTP on port 80.

terraform {
  required_providers {
    novacron = {
      source = "novacron/novacron"
    }
  }
}

# Zero configuration: LIBVIRT_DEFAULT_URI, else qemu:///system as root and
# qemu:///session for everybody else.
provider "novacron" {}

variable "image" {
  description = "Raw disk image with an operating system that boots by BIOS."
  type        = string
}

variable "cidr" {
  description = "Range of a NAT network for the VMs. Null: none, as an ordinary user may not make networks; the VMs are then reached through forwarded ports."
  type        = string
  default     = null
}

variable "ports" {
  description = "The VMs, and the port of the host's loopback that leads to each where there is no network."
  type        = map(number)
  default     = { web = 18081, db = 18082 }
}

resource "novacron_volume" "base" {
  name   = "demo-base"
  format = "raw"
  source = { file = var.image }
}

resource "novacron_network" "lan" {
  count = var.cidr == null ? 0 : 1
  name  = "demo"
  cidr  = var.cidr
}

resource "novacron_vm" "demo" {
  for_each = var.ports

  name   = each.key
  cpus   = 1
  memory = "128MiB"
  labels = { scenario = "demo" }
  disks  = { root = { backing = novacron_volume.base.id, size = "256MiB" } }
  nics = {
    lan = {
      network = one(novacron_network.lan[*].id)
      forward = var.cidr == null ? { (tostring(each.value)) = 80 } : null
    }
  }
  cloud_init = {
    user_data = <<-EOT
      #!/bin/sh
      echo "Hello from ${each.key}, made by Terraform" > /run/motd
    EOT
  }
  wait_for = { tcp = 80, timeout = "2m", on_timeout = "fail" }
}

output "urls" {
  description = "Where each VM serves HTTP."
  value       = { for name, vm in novacron_vm.demo : name => var.cidr == null ? "http://127.0.0.1:${var.ports[name]}" : "http://${vm.ip}" }
}

output "uuids" {
  value = { for name, vm in novacron_vm.demo : name => vm.id }
}
