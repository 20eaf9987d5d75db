package main

// Ours.
import (
	_ "github.com/novacron/terraform-provider-novacron/plugins/inputs/novacron"
	_ "github.com/novacron/terraform-provider-novacron/plugins/processors/novacron"
)
