# An empty volume. It grows in place when size does.
resource "novacron_volume" "data" {
  name = "db-data"
  size = "200GiB"
}

# A copy of an image on this machine, uploaded once.
resource "novacron_volume" "image" {
  name   = "debian-13"
  source = { file = "${path.module}/debian-13-generic-amd64.qcow2" }
}

# An overlay: it holds only what differs from the image.
resource "novacron_volume" "overlay" {
  name    = "web-root"
  backing = novacron_volume.image.id
  size    = "20GiB"
}
