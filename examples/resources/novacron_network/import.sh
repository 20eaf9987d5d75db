# By name or UUID on the default target, or on another one.
terraform import novacron_network.lan lan
terraform import novacron_network.lan 53640159-20b3-58f7-8ab7-7fbfe18c5639
terraform import novacron_network.lan kvm2/lan
