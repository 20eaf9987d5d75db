package attr

import (
	"context"
	"fmt"
	"sync"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/novacron/terraform-provider-novacron/internal/backend"
	"github.com/novacron/terraform-provider-novacron/internal/fault"
	"github.com/novacron/terraform-provider-novacron/internal/fleet"
	"github.com/novacron/terraform-provider-novacron/internal/spec"
)

// Provider is the configured provider: what every resource receives. Parts of a
// configuration may be unknown while a plan is made; then nothing is assumed in
// their place and nothing is connected to. Safe for concurrent use.
type Provider struct {
	Fleet    *fleet.Fleet    // the targets that are known
	Owner    types.String    // may be unknown
	Standard types.String    // default target: null when there is none, may be unknown
	Unknown  map[string]bool // targets that exist and whose configuration is not known
	Vague    bool            // the names of the targets are not known either

	mu     sync.Mutex
	claims map[string]Claim
	seen   map[string]bool
}

// Configured returns the provider out of the data that a resource is configured
// with; nil before the provider is.
func Configured(data any, diags *diag.Diagnostics) *Provider {
	if data == nil {
		return nil
	}
	p, ok := data.(*Provider)
	if !ok {
		diags.AddError("Unable to Configure Resource", fmt.Sprintf("The provider handed over %T. Please report this as a defect of the provider.", data))
	}
	return p
}

// Place is where an object is or will be. Its Backend is nil as long as the
// configuration of the target is not known.
type Place struct {
	Target  string // "" while not known
	Backend *backend.Backend
}

// Known reports whether the place can be asked.
func (p Place) Known() bool { return p.Backend != nil }

// Place returns the target called name, or the default one where name is null.
// It does not connect.
func (p *Provider) Place(ctx context.Context, name types.String) (Place, error) {
	if name.IsNull() {
		name = p.Standard
	}
	if name.IsUnknown() {
		return Place{}, nil
	}
	target := name.ValueString()
	if p.Unknown[target] || p.Vague {
		return Place{Target: target}, nil
	}
	b, err := p.Fleet.Backend(ctx, target)
	if err != nil {
		return Place{}, err
	}
	return Place{Target: target, Backend: b}, nil
}

// Connect returns the backend of the target once it is known to be usable, and
// adds its warnings.
func (p *Provider) Connect(ctx context.Context, name types.String, diags *diag.Diagnostics) (*backend.Backend, error) {
	place, err := p.Place(ctx, name)
	if err != nil {
		return nil, err
	}
	if !place.Known() {
		return nil, fault.At("target", fault.Errorf(fault.Unavailable, "the configuration of the target is not known yet"))
	}
	warnings, err := place.Backend.Check(ctx)
	for _, w := range warnings {
		diags.AddWarning(fmt.Sprintf("Target %q", place.Target), w)
	}
	return place.Backend, err
}

// Identity returns the UUID of the object of the kind that this configuration
// calls name. See spec.Identity.
func (p *Provider) Identity(kind, name string, forcing ...string) types.String {
	if p.Owner.IsUnknown() {
		return types.StringUnknown()
	}
	return types.StringValue(spec.Identity(p.Owner.ValueString(), kind, name, forcing...))
}

// Claim is what a resource says of an object while a plan is made.
type Claim int

// The claims: an object that the state holds, and one that is to be created.
const (
	Held Claim = iota + 1
	New
)

// Claim notes that a resource of this configuration is the object with the
// identity on the target. It reports false when another resource is to create
// the same: then two have the same name.
func (p *Provider) Claim(c Claim, kind, target, id string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	key := kind + " " + target + " " + id
	before := p.claims[key]
	if p.claims == nil {
		p.claims = map[string]Claim{}
	}
	p.claims[key] = max(before, c)
	return before == 0 || before == Held && c == Held
}

// See notes that the state holds the object with the identity on the target.
func (p *Provider) See(kind, target, id string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.seen == nil {
		p.seen = map[string]bool{}
	}
	p.seen[kind+" "+target+" "+id] = true
}

// Seen reports whether the state holds the object: then what the host has is
// not left over, but about to be replaced.
func (p *Provider) Seen(kind, target, id string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.seen[kind+" "+target+" "+id]
}
