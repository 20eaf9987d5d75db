package provider

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework-validators/mapvalidator"
	"github.com/hashicorp/terraform-plugin-framework-validators/objectvalidator"
	"github.com/hashicorp/terraform-plugin-framework-validators/stringvalidator"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/provider"
	"github.com/hashicorp/terraform-plugin-framework/provider/schema"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/terraform-plugin-framework/types/basetypes"

	"github.com/novacron/terraform-provider-novacron/internal/fault"
	"github.com/novacron/terraform-provider-novacron/internal/fleet"
	"github.com/novacron/terraform-provider-novacron/internal/provider/attr"
	"github.com/novacron/terraform-provider-novacron/internal/spec"
)

// targetName is what a target may be called: import ids are cut at slashes.
var targetName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$`)

// Schema describes the provider configuration.
func (n *Novacron) Schema(_ context.Context, _ provider.SchemaRequest, resp *provider.SchemaResponse) {
	resp.Schema = schema.Schema{
		MarkdownDescription: "Virtual machines, volumes and networks on libvirt hosts. " +
			"With no configuration at all there is one target, `local`: the libvirt of this machine.",
		Attributes: map[string]schema.Attribute{
			"targets": schema.MapNestedAttribute{
				Optional: true,
				MarkdownDescription: "The places that run VMs, by names of your choice. Each holds exactly one of the blocks below. " +
					"Default: one target `local`, whose URI is `LIBVIRT_DEFAULT_URI` where that is set, else `qemu:///system` for root and `qemu:///session` for everyone else. " +
					"Nothing is connected to before a resource needs it.",
				Validators: []validator.Map{
					mapvalidator.SizeAtLeast(1),
					mapvalidator.KeysAre(stringvalidator.RegexMatches(targetName, "a target's name is up to 63 letters, digits, '.', '_' and '-', starting with a letter or digit")),
				},
				NestedObject: schema.NestedAttributeObject{Attributes: targetAttributes()},
			},
			"default_target": schema.StringAttribute{
				Optional: true,
				MarkdownDescription: "The target of resources that name none. Default: the only target where there is one; " +
					"where there are several and this is not set, every resource names its own.",
			},
			"owner": schema.StringAttribute{
				Optional: true,
				MarkdownDescription: "Who owns what this configuration makes: a word that no other configuration on the same targets uses. " +
					"It is written into everything that is made, and is how an interrupted apply finds what it left. " +
					"Default: host name, absolute working directory and workspace. Set it where plans run from changing places, such as CI.",
				Validators: []validator.String{stringvalidator.LengthBetween(1, 255)},
			},
		},
	}
}

func targetAttributes() map[string]schema.Attribute {
	return map[string]schema.Attribute{
		"libvirt": schema.SingleNestedAttribute{
			Optional:            true,
			MarkdownDescription: "A libvirt host that runs QEMU guests.",
			Validators: []validator.Object{
				objectvalidator.ExactlyOneOf(path.MatchRelative().AtParent().AtName("libvirt"), path.MatchRelative().AtParent().AtName("sim")),
			},
			Attributes: map[string]schema.Attribute{
				"uri": schema.StringAttribute{
					Required:            true,
					MarkdownDescription: "libvirt connection URI, such as `qemu:///system`, `qemu:///session` or `qemu+tcp://host/system`.",
				},
				"pool": schema.StringAttribute{
					Optional:            true,
					MarkdownDescription: "Storage pool of volumes and disks that name none. Default: `default`.",
					Validators:          []validator.String{stringvalidator.LengthAtLeast(1)},
				},
				"virt_type": schema.StringAttribute{
					Optional:            true,
					MarkdownDescription: "`kvm` (hardware) or `qemu` (emulation). Default: `kvm` where the host can run guests with it, else `qemu`.",
					Validators:          []validator.String{stringvalidator.OneOf("kvm", "qemu")},
				},
			},
		},
		"sim": schema.SingleNestedAttribute{
			Optional:            true,
			MarkdownDescription: "A simulated platform: for trying things out and for testing modules, without any host.",
			Attributes: map[string]schema.Attribute{
				"path": schema.StringAttribute{
					Optional:            true,
					MarkdownDescription: "File that keeps what the simulation holds. Default: `NAME.sim.json` in the working directory, NAME being the target's name.",
					Validators:          []validator.String{stringvalidator.LengthAtLeast(1)},
				},
			},
		},
	}
}

type providerModel struct {
	Targets       types.Map    `tfsdk:"targets"`
	DefaultTarget types.String `tfsdk:"default_target"`
	Owner         types.String `tfsdk:"owner"`
}

type targetModel struct {
	Libvirt types.Object `tfsdk:"libvirt"`
	Sim     types.Object `tfsdk:"sim"`
}

type libvirtModel struct {
	URI      types.String `tfsdk:"uri"`
	Pool     types.String `tfsdk:"pool"`
	VirtType types.String `tfsdk:"virt_type"`
}

type simModel struct {
	Path types.String `tfsdk:"path"`
}

// Configure reads the configuration and opens the targets that are known. It
// connects to nothing.
func (n *Novacron) Configure(ctx context.Context, req provider.ConfigureRequest, resp *provider.ConfigureResponse) {
	var m providerModel
	resp.Diagnostics.Append(req.Config.Get(ctx, &m)...)
	if resp.Diagnostics.HasError() {
		return
	}
	p := &attr.Provider{Owner: m.Owner, Unknown: map[string]bool{}, Vague: m.Targets.IsUnknown()}
	if m.Owner.IsNull() {
		owner, err := defaultOwner()
		if err != nil {
			resp.Diagnostics.AddAttributeError(path.Root("owner"), "Unable to Derive Owner", err.Error()+"\nset owner")
			return
		}
		p.Owner = types.StringValue(owner)
	}
	targets := readTargets(ctx, m, p, &resp.Diagnostics)
	p.Standard = standard(m, targets, p)
	if resp.Diagnostics.HasError() {
		return
	}
	n.open(ctx, p, targets, &resp.Diagnostics)
	if p.Vague || len(p.Unknown) > 0 || p.Owner.IsUnknown() || p.Standard.IsUnknown() {
		resp.Diagnostics.AddWarning("Provider Configuration Not Known Yet",
			"Some of the provider's configuration comes from resources that do not exist yet. "+
				"What depends on it is checked and compared with the host when it is applied, not in this plan.")
	}
	resp.ResourceData = p
}

// open makes the fleet of the known targets. Opening validates each of them.
func (n *Novacron) open(ctx context.Context, p *attr.Provider, targets map[string]spec.Target, diags *diag.Diagnostics) {
	name := p.Standard.ValueString()
	if p.Unknown[name] || p.Vague {
		name = ""
	}
	f, err := fleet.New(n.openers, targets, name)
	if err != nil {
		attr.Fail(diags, "Configure", "Provider", err)
		return
	}
	p.Fleet = f
	for _, name := range slices.Sorted(maps.Keys(targets)) {
		if _, err := f.Backend(ctx, name); err != nil {
			detail := err.Error()
			if hint := fault.HintOf(err); hint != "" {
				detail += "\n" + hint
			}
			attr.Refuse(diags, targetPath(targets[name], fault.FieldOf(err)), "Invalid Target", detail)
		}
	}
}

// targetPath returns the attribute of the target that the field of an opener's
// error means, whether or not the opener named the platform block.
func targetPath(t spec.Target, field string) path.Path {
	p := path.Root("targets").AtMapKey(t.Name).AtName(t.Kind())
	field = strings.TrimPrefix(field, t.Kind()+".")
	switch field {
	case "uri", "pool", "virt_type", "path":
		return p.AtName(field)
	}
	return p
}

// readTargets returns the targets whose configuration is known, and notes the
// others in p.
func readTargets(ctx context.Context, m providerModel, p *attr.Provider, diags *diag.Diagnostics) map[string]spec.Target {
	if m.Targets.IsNull() {
		return map[string]spec.Target{"local": {Name: "local", Libvirt: &spec.LibvirtTarget{URI: defaultURI()}}}
	}
	targets := map[string]spec.Target{}
	for name, v := range m.Targets.Elements() {
		o, ok := v.(types.Object)
		if !ok || o.IsUnknown() || o.IsNull() {
			p.Unknown[name] = true
			continue
		}
		t, known := readTarget(ctx, name, o, diags)
		if !known {
			p.Unknown[name] = true
			continue
		}
		targets[name] = t
	}
	return targets
}

// readTarget returns the target in o; known is false when part of it is not
// known yet.
func readTarget(ctx context.Context, name string, o types.Object, diags *diag.Diagnostics) (t spec.Target, known bool) {
	var m targetModel
	diags.Append(o.As(ctx, &m, basetypes.ObjectAsOptions{})...)
	if m.Libvirt.IsUnknown() || m.Sim.IsUnknown() || m.Libvirt.IsNull() == m.Sim.IsNull() {
		return t, false // neither or both is refused by validation
	}
	t.Name = name
	if !m.Libvirt.IsNull() {
		var l libvirtModel
		diags.Append(m.Libvirt.As(ctx, &l, basetypes.ObjectAsOptions{})...)
		t.Libvirt = &spec.LibvirtTarget{URI: l.URI.ValueString(), Pool: l.Pool.ValueString(), VirtType: l.VirtType.ValueString()}
		return t, !l.URI.IsUnknown() && !l.Pool.IsUnknown() && !l.VirtType.IsUnknown()
	}
	var s simModel
	diags.Append(m.Sim.As(ctx, &s, basetypes.ObjectAsOptions{})...)
	t.Sim = &spec.SimTarget{Path: s.Path.ValueString()}
	if s.Path.IsNull() {
		t.Sim.Path = name + ".sim.json"
	}
	return t, !s.Path.IsUnknown()
}

// standard returns the default target: the configured one, or the only one.
func standard(m providerModel, targets map[string]spec.Target, p *attr.Provider) types.String {
	switch {
	case !m.DefaultTarget.IsNull():
		return m.DefaultTarget
	case p.Vague:
		return types.StringUnknown()
	case len(targets)+len(p.Unknown) > 1:
		return types.StringNull()
	}
	for name := range targets {
		return types.StringValue(name)
	}
	for name := range p.Unknown {
		return types.StringValue(name)
	}
	return types.StringNull()
}

// defaultURI returns the URI of this machine's libvirt, as libvirt's own clients
// choose it.
func defaultURI() string {
	if uri := os.Getenv("LIBVIRT_DEFAULT_URI"); uri != "" {
		return uri
	}
	if os.Geteuid() == 0 {
		return "qemu:///system"
	}
	return "qemu:///session"
}

// defaultOwner returns the owner of what a configuration makes that names none:
// this directory on this host, in its workspace.
func defaultOwner() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("the working directory is not known: %w", err)
	}
	host, err := os.Hostname()
	if err != nil {
		return "", fmt.Errorf("the host's name is not known: %w", err)
	}
	return strings.Join([]string{host, dir, workspace(dir)}, ":"), nil
}

// workspace returns the selected Terraform workspace of the directory.
func workspace(dir string) string {
	if name := os.Getenv("TF_WORKSPACE"); name != "" {
		return name
	}
	data := os.Getenv("TF_DATA_DIR")
	if data == "" {
		data = ".terraform"
	}
	if !filepath.IsAbs(data) {
		data = filepath.Join(dir, data)
	}
	text, err := os.ReadFile(filepath.Join(data, "environment"))
	if name := strings.TrimSpace(string(text)); err == nil && name != "" {
		return name
	}
	return "default" // Terraform writes the file when another one is selected
}
