// Command terraform-provider-novacron is the Terraform provider.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"runtime/debug"

	"github.com/hashicorp/terraform-plugin-framework/providerserver"

	"github.com/novacron/terraform-provider-novacron/internal/backend/all"
	"github.com/novacron/terraform-provider-novacron/internal/provider"
)

// version is set by the release build.
var version = "dev"

func main() {
	attach := flag.Bool("debug", false, "run for a debugger such as delve")
	show := flag.Bool("version", false, "print the version and exit")
	flag.Parse()
	if *show {
		fmt.Println("terraform-provider-novacron", version)
		return
	}
	// A provider lives for seconds and makes much garbage: collecting it less often
	// takes a fifth off a plan of 50 VMs and costs some tens of megabytes.
	debug.SetGCPercent(400)
	err := providerserver.Serve(context.Background(), provider.New(version, all.Openers()), providerserver.ServeOpts{
		Address: "registry.terraform.io/novacron/novacron",
		Debug:   *attach,
	})
	if err != nil {
		log.Fatal(err)
	}
}
