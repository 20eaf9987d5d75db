# By its name in the pool: in the default pool, in another one, or on another target.
terraform import novacron_volume.data db-data.1b2c3d4e.qcow2
terraform import novacron_volume.data default/db-data.1b2c3d4e.qcow2
terraform import novacron_volume.data kvm2/nvme/db-data.1b2c3d4e.qcow2
