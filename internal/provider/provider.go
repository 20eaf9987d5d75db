// Package provider is the Terraform provider: it turns configuration into specs,
// asks the fleet to bring them about, and turns what comes back into state.
package provider

import (
	"context"

	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/provider"
	"github.com/hashicorp/terraform-plugin-framework/resource"

	"github.com/novacron/terraform-provider-novacron/internal/fleet"
	"github.com/novacron/terraform-provider-novacron/internal/provider/network"
	"github.com/novacron/terraform-provider-novacron/internal/provider/vm"
	"github.com/novacron/terraform-provider-novacron/internal/provider/volume"
)

// Novacron is the provider.
type Novacron struct {
	version string
	openers fleet.Openers
}

var _ provider.Provider = (*Novacron)(nil)

// New returns the constructor of the provider over the platforms in openers.
func New(version string, openers fleet.Openers) func() provider.Provider {
	return func() provider.Provider { return &Novacron{version: version, openers: openers} }
}

// Metadata names the provider.
func (n *Novacron) Metadata(_ context.Context, _ provider.MetadataRequest, resp *provider.MetadataResponse) {
	resp.TypeName = "novacron"
	resp.Version = n.version
}

// Resources returns the resources.
func (n *Novacron) Resources(context.Context) []func() resource.Resource {
	return []func() resource.Resource{vm.New, volume.New, network.New}
}

// DataSources returns the data sources: none so far.
func (n *Novacron) DataSources(context.Context) []func() datasource.DataSource { return nil }
