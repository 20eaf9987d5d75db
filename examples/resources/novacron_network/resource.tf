# Guests get addresses by DHCP and reach the outside through the host.
resource "novacron_network" "lan" {
  name = "lan"
  cidr = "10.20.0.0/24"
}

# Guests reach each other and the host, and nothing else.
resource "novacron_network" "backend" {
  name   = "backend"
  mode   = "isolated"
  cidr   = "10.21.0.0/24"
  domain = "backend.example"
}
