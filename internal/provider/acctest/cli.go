package acctest

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
	"github.com/hashicorp/terraform-plugin-framework/providerserver"
	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-go/tfprotov6/tf6server"

	"github.com/novacron/terraform-provider-novacron/internal/provider"
)

const address = "registry.terraform.io/novacron/novacron"

// CLI is a directory in which a user works with terraform, and the provider of
// this process behind it. Unlike resource.Test it shows warnings, and lets a test
// do what only users do: lose the state, taint, interrupt.
type CLI struct {
	t   *testing.T
	Dir string
	env []string
}

// Diagnostic is one error or warning as terraform prints it.
type Diagnostic struct {
	Severity string `json:"severity"`
	Summary  string `json:"summary"`
	Detail   string `json:"detail"`
	Address  string `json:"address"`
	Snippet  struct {
		Code string `json:"code"`
	} `json:"snippet"`
}

// Attribute returns the line of the configuration that the diagnostic points at.
func (d Diagnostic) Attribute() string { return strings.TrimSpace(d.Snippet.Code) }

// Result is what a command said.
type Result struct {
	Failed  bool
	Errors  []Diagnostic
	Warns   []Diagnostic
	Actions map[string]string // planned action by resource address; no-op is left out
	Output  string
}

// CLI returns a user's directory with the provider over the world.
func (w *World) CLI(t *testing.T) *CLI {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	reattach, closed := make(chan *plugin.ReattachConfig, 1), make(chan struct{})
	factory := providerserver.NewProtocol6(provider.New("test", w.openers())())
	go func() {
		err := tf6server.Serve(address, func() tfprotov6.ProviderServer { return factory() },
			tf6server.WithDebug(ctx, reattach, closed), tf6server.WithGoPluginLogger(hclog.NewNullLogger()), tf6server.WithoutLogStderrOverride())
		if err != nil {
			t.Errorf("serve the provider: %v", err)
		}
	}()
	t.Cleanup(func() { cancel(); <-closed })
	config := <-reattach
	type addr struct{ Network, String string }
	text, err := json.Marshal(map[string]any{address: map[string]any{
		"Protocol": "grpc", "ProtocolVersion": 6, "Pid": os.Getpid(), "Test": true,
		"Addr": addr{config.Addr.Network(), config.Addr.String()},
	}})
	if err != nil {
		t.Fatal(err)
	}
	c := &CLI{t: t, Dir: t.TempDir()}
	c.env = append(os.Environ(), "TF_REATTACH_PROVIDERS="+string(text), "TF_IN_AUTOMATION=1", "TF_INPUT=0")
	return c
}

// Write replaces the configuration. The provider has the targets "sim" and
// "other", of which "sim" is the default.
func (c *CLI) Write(body string) {
	c.t.Helper()
	c.WriteAll(`
provider "novacron" {
  owner          = "acctest"
  default_target = "sim"
  targets        = { sim = { sim = {} }, other = { sim = {} } }
}
` + body)
}

// WriteAll replaces the configuration and its provider block.
func (c *CLI) WriteAll(body string) {
	c.t.Helper()
	text := "terraform {\n  required_providers {\n    novacron = { source = \"novacron/novacron\" }\n  }\n}\n" + body
	if err := os.WriteFile(filepath.Join(c.Dir, "main.tf"), []byte(text), 0o600); err != nil {
		c.t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(c.Dir, ".terraform.lock.hcl")); err != nil {
		if out, err := c.terraform(context.Background(), "init"); err != nil {
			c.t.Fatalf("terraform init: %v\n%s", err, out)
		}
		// Nothing is locked for a provider that is attached.
		_ = os.WriteFile(filepath.Join(c.Dir, ".terraform.lock.hcl"), nil, 0o600)
	}
}

// Plan runs terraform plan.
func (c *CLI) Plan(args ...string) Result {
	return c.run(append([]string{"plan", "-json"}, args...)...)
}

// Apply runs terraform apply.
func (c *CLI) Apply(args ...string) Result {
	return c.run(append([]string{"apply", "-json", "-auto-approve"}, args...)...)
}

// Destroy runs terraform destroy.
func (c *CLI) Destroy() Result { return c.run("destroy", "-json", "-auto-approve") }

// MustApply applies and fails the test when that fails.
func (c *CLI) MustApply() Result {
	c.t.Helper()
	r := c.Apply()
	if r.Failed {
		c.t.Fatalf("apply failed:\n%s", r.Output)
	}
	return r
}

// MustBeEmpty fails the test unless a plan has nothing to do.
func (c *CLI) MustBeEmpty() {
	c.t.Helper()
	if r := c.Plan(); r.Failed || len(r.Actions) > 0 {
		c.t.Fatalf("plan = %v, failed %t; want nothing to do\n%s", r.Actions, r.Failed, r.Output)
	}
}

// Do runs any other command, without JSON.
func (c *CLI) Do(args ...string) (string, error) {
	return c.terraform(context.Background(), args...)
}

// LoseState throws the state away, as a process that was killed would.
func (c *CLI) LoseState() {
	c.t.Helper()
	for _, name := range []string{"terraform.tfstate", "terraform.tfstate.backup"} {
		if err := os.Remove(filepath.Join(c.Dir, name)); err != nil && !errors.Is(err, os.ErrNotExist) {
			c.t.Fatal(err)
		}
	}
}

// Attributes returns the attributes of the resource in the state; nil when it is
// not there.
func (c *CLI) Attributes(address string) map[string]any {
	c.t.Helper()
	out, err := c.terraform(context.Background(), "show", "-json")
	if err != nil {
		c.t.Fatalf("terraform show: %v\n%s", err, out)
	}
	var state struct {
		Values struct {
			Root struct {
				Resources []struct {
					Address string         `json:"address"`
					Values  map[string]any `json:"values"`
				} `json:"resources"`
			} `json:"root_module"`
		} `json:"values"`
	}
	if err := json.Unmarshal([]byte(out), &state); err != nil {
		c.t.Fatalf("terraform show: %v\n%s", err, out)
	}
	for _, r := range state.Values.Root.Resources {
		if r.Address == address {
			return r.Values
		}
	}
	return nil
}

func (c *CLI) run(args ...string) Result {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	out, err := c.terraform(ctx, args...)
	r := Result{Failed: err != nil, Output: out, Actions: map[string]string{}}
	lines := bufio.NewScanner(strings.NewReader(out))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var line struct {
			Type       string     `json:"type"`
			Diagnostic Diagnostic `json:"diagnostic"`
			Change     struct {
				Resource struct {
					Addr string `json:"addr"`
				} `json:"resource"`
				Action string `json:"action"`
			} `json:"change"`
		}
		if json.Unmarshal(lines.Bytes(), &line) != nil {
			continue
		}
		switch {
		case line.Type == "planned_change" && line.Change.Action != "noop":
			r.Actions[line.Change.Resource.Addr] = line.Change.Action
		case line.Type == "diagnostic" && line.Diagnostic.Severity == "error":
			r.Errors = append(r.Errors, line.Diagnostic)
		case line.Type == "diagnostic":
			r.Warns = append(r.Warns, line.Diagnostic)
		}
	}
	return r
}

func (c *CLI) terraform(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, os.Getenv("TF_ACC_TERRAFORM_PATH"), args...)
	cmd.Dir, cmd.Env = c.Dir, c.env
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	return out.String(), err
}

// Find returns the first diagnostic with the summary.
func Find(diags []Diagnostic, summary string) (Diagnostic, bool) {
	i := slices.IndexFunc(diags, func(d Diagnostic) bool { return d.Summary == summary })
	if i < 0 {
		return Diagnostic{}, false
	}
	return diags[i], true
}

// WantError fails the test unless the command failed with exactly one error, of
// the summary, that points at the attribute and says all of the words.
func (c *CLI) WantError(r Result, summary, attribute string, words ...string) {
	c.t.Helper()
	if !r.Failed || len(r.Errors) != 1 {
		c.t.Fatalf("failed %t with %d errors; want one, %q\n%s", r.Failed, len(r.Errors), summary, r.Output)
	}
	c.check(r.Errors[0], summary, attribute, words)
}

// WantWarning fails the test unless there is a warning of the summary that points
// at the attribute and says all of the words.
func (c *CLI) WantWarning(r Result, summary, attribute string, words ...string) {
	c.t.Helper()
	d, ok := Find(r.Warns, summary)
	if !ok {
		c.t.Fatalf("no warning %q\n%s", summary, r.Output)
	}
	c.check(d, summary, attribute, words)
}

func (c *CLI) check(d Diagnostic, summary, attribute string, words []string) {
	c.t.Helper()
	if d.Summary != summary || attribute != "" && !strings.Contains(d.Attribute(), attribute) {
		c.t.Errorf("diagnostic %q at %q; want %q at %q\n%s", d.Summary, d.Attribute(), summary, attribute, d.Detail)
	}
	for _, w := range words {
		if !strings.Contains(d.Detail, w) {
			c.t.Errorf("diagnostic %q says\n%s\nwhich lacks %q", d.Summary, d.Detail, w)
		}
	}
}
