// Command terraform-provider-novacron is the Terraform provider.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"

	"github.com/hashicorp/terraform-plugin-framework/providerserver"

	"github.com/novacron/terraform-provider-novacron/internal/backend/all"
	"github.com/novacron/terraform-provider-novacron/internal/provider"
)

// version is set by the release build.
var version = "dev"

func main() {
	debug := flag.Bool("debug", false, "run for a debugger such as delve")
	show := flag.Bool("version", false, "print the version and exit")
	flag.Parse()
	if *show {
		fmt.Println("terraform-provider-novacron", version)
		return
	}
	err := providerserver.Serve(context.Background(), provider.New(version, all.Openers()), providerserver.ServeOpts{
		Address: "registry.terraform.io/novacron/novacron",
		Debug:   *debug,
	})
	if err != nil {
		log.Fatal(err)
	}
}
