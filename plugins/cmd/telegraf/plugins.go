package main

// Ours.
import (
	_ "github.com/novacron/terraform-provider-novacron/plugins/inputs/novacron"
)
