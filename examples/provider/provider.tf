terraform {
  required_providers {
    novacron = {
      source = "novacron/novacron"
    }
  }
}

# With no configuration at all, there is one target: the libvirt of this machine.
# Here there are three, and resources that name none are on kvm1.
provider "novacron" {
  default_target = "kvm1"
  targets = {
    kvm1  = { libvirt = { uri = "qemu:///system" } }
    kvm2  = { libvirt = { uri = "qemu+tcp://kvm2.example/system", pool = "nvme" } }
    trial = { sim = {} }
  }

  # Set this where plans run from changing places, such as CI.
  owner = "example/production"
}
