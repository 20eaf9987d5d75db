package main

import (
	"fmt"
	"runtime/debug"
)

// fullVersion names this program and the Telegraf that it is made of.
func fullVersion() string {
	stock := "unknown"
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, m := range info.Deps {
			if m.Path == "github.com/influxdata/telegraf" {
				stock = m.Version
			}
		}
	}
	return fmt.Sprintf("NovaCron Telegraf %s (Telegraf %s)", version, stock)
}
