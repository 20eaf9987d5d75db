# By name or UUID on the default target, or on another one.
terraform import novacron_vm.web web-1
terraform import novacron_vm.web 8c1f3a52-6a0e-5c3d-9d4b-2f1e0c7a9b11
terraform import novacron_vm.web kvm2/web-1
