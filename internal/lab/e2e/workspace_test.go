//go:build linux

package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// workspace is a directory in which a user works with terraform.
type workspace struct {
	t    *testing.T
	dir  string
	env  []string
	cred *syscall.Credential // nil: the user of the tests
}

// diagnostic is one error or warning as terraform tells it.
type diagnostic struct {
	Severity string `json:"severity"`
	Summary  string `json:"summary"`
	Detail   string `json:"detail"`
	Address  string `json:"address"`
	Snippet  struct {
		Context string `json:"context"`
		Code    string `json:"code"`
	} `json:"snippet"`
}

// line is the line of the configuration that the diagnostic points at.
func (d diagnostic) line() string { return strings.TrimSpace(d.Snippet.Code) }

// result is what a terraform command said.
type result struct {
	command string
	err     error
	out     string
	errors  []diagnostic
	warns   []diagnostic
	planned map[string]string // action by resource address; no-op is left out
	took    time.Duration
}

// newWorkspace returns an initialised workspace whose provider, with no
// configuration but an owner, reaches libvirt by the URI.
func newWorkspace(t *testing.T, uri, body string) *workspace {
	t.Helper()
	return newWorkspaceAs(t, nil, []string{"LIBVIRT_DEFAULT_URI=" + uri}, body)
}

// newWorkspaceAs is newWorkspace for another user with an environment of their own.
func newWorkspaceAs(t *testing.T, cred *syscall.Credential, env []string, body string) *workspace {
	t.Helper()
	dir, err := os.MkdirTemp(bench.dir, "w-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	w := &workspace{t: t, dir: dir, cred: cred}
	if cred != nil {
		if err := os.Chown(dir, int(cred.Uid), int(cred.Gid)); err != nil {
			t.Fatal(err)
		}
	}
	w.env = append(os.Environ(), "TF_CLI_CONFIG_FILE="+bench.rc, "CHECKPOINT_DISABLE=1", "TF_IN_AUTOMATION=1", "TF_INPUT=0", "HOME="+dir)
	w.env = append(w.env, env...)
	w.write(body)
	if r := w.do("init", "-no-color"); r.err != nil {
		t.Fatalf("terraform init: %v\n%s", r.err, r.out)
	}
	return w
}

// write replaces the configuration below the provider's.
func (w *workspace) write(body string) {
	w.t.Helper()
	if !strings.Contains(body, "provider \"novacron\"") {
		body = "provider \"novacron\" {\n  owner = \"e2e\"\n}\n" + body
	}
	text := "terraform {\n  required_providers {\n    novacron = { source = \"novacron/novacron\" }\n  }\n}\n" + body
	if err := os.WriteFile(filepath.Join(w.dir, "main.tf"), []byte(text), 0o644); err != nil {
		w.t.Fatal(err)
	}
}

func (w *workspace) plan(args ...string) result {
	w.t.Helper()
	return w.do(append([]string{"plan", "-json", "-lock=false"}, args...)...)
}

func (w *workspace) apply(args ...string) result {
	w.t.Helper()
	return w.do(append([]string{"apply", "-json", "-auto-approve"}, args...)...)
}

func (w *workspace) destroy(args ...string) result {
	w.t.Helper()
	return w.do(append([]string{"destroy", "-json", "-auto-approve"}, args...)...)
}

// mustApply applies, which must go well.
func (w *workspace) mustApply() result {
	w.t.Helper()
	r := w.apply()
	if r.err != nil {
		w.t.Fatalf("apply: %v\n%s", r.err, r.text())
	}
	return r
}

// mustDestroy destroys, which must go well.
func (w *workspace) mustDestroy() result {
	w.t.Helper()
	r := w.destroy()
	if r.err != nil {
		w.t.Fatalf("destroy: %v\n%s", r.err, r.text())
	}
	return r
}

// mustBeDone fails the test unless a plan has nothing to do.
func (w *workspace) mustBeDone() {
	w.t.Helper()
	if r := w.plan("-detailed-exitcode"); r.err != nil {
		w.t.Fatalf("plan after apply: %v with %v; want nothing to do\n%s", r.err, r.planned, r.text())
	}
}

// mustImport imports an object, which must go well.
func (w *workspace) mustImport(address, id string) {
	w.t.Helper()
	if r := w.do("import", "-no-color", address, id); r.err != nil {
		w.t.Fatalf("import %s %s: %v\n%s", address, id, r.err, r.out)
	}
}

// state returns the attributes in the state by resource address.
func (w *workspace) state() map[string]map[string]any {
	w.t.Helper()
	r := w.do("show", "-json")
	var s struct {
		Values struct {
			Root struct {
				Resources []struct {
					Address string         `json:"address"`
					Values  map[string]any `json:"values"`
				} `json:"resources"`
			} `json:"root_module"`
		} `json:"values"`
	}
	if err := json.Unmarshal([]byte(r.out), &s); r.err != nil || err != nil {
		w.t.Fatalf("terraform show: %v, %v\n%s", r.err, err, r.out)
	}
	all := map[string]map[string]any{}
	for _, res := range s.Values.Root.Resources {
		all[res.Address] = res.Values
	}
	return all
}

// attribute returns an attribute in the state as text.
func (w *workspace) attribute(address, name string) string {
	w.t.Helper()
	return fmt.Sprint(w.state()[address][name])
}

// loseState throws the state away.
func (w *workspace) loseState() {
	w.t.Helper()
	for _, name := range []string{"terraform.tfstate", "terraform.tfstate.backup"} {
		if err := os.Remove(filepath.Join(w.dir, name)); err != nil && !errors.Is(err, os.ErrNotExist) {
			w.t.Fatal(err)
		}
	}
}

// do runs terraform to its end.
func (w *workspace) do(args ...string) result {
	w.t.Helper()
	return w.run(context.Background(), args...)
}

// run runs terraform to its end, or until ctx ends, which interrupts it as
// Ctrl-C does; so does a generous limit.
func (w *workspace) run(ctx context.Context, args ...string) result {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "terraform", args...)
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGINT) } // a terminal tells the whole group
	cmd.WaitDelay = time.Minute
	cmd.Dir, cmd.Env = w.dir, w.env
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: w.cred, Setpgid: true}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	started := time.Now()
	err := cmd.Run()
	r := parse(out.String())
	r.command, r.err, r.took = "terraform "+strings.Join(args, " "), err, time.Since(started)
	return r
}

// parse reads the JSON lines of terraform.
func parse(out string) result {
	r := result{out: out, planned: map[string]string{}}
	lines := bufio.NewScanner(strings.NewReader(out))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var line struct {
			Type       string     `json:"type"`
			Diagnostic diagnostic `json:"diagnostic"`
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
			r.planned[line.Change.Resource.Addr] = line.Change.Action
		case line.Type == "diagnostic" && line.Diagnostic.Severity == "error":
			r.errors = append(r.errors, line.Diagnostic)
		case line.Type == "diagnostic":
			r.warns = append(r.warns, line.Diagnostic)
		}
	}
	return r
}

// text is the diagnostics for a reader, or all output where there are none.
func (r result) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s (%.1fs):\n", r.command, r.took.Seconds())
	for _, d := range append(r.errors, r.warns...) {
		fmt.Fprintf(&b, "%s: %s: %s [%s: %s]\n", d.Severity, d.Summary, d.Detail, d.Address, d.line())
	}
	if len(r.errors)+len(r.warns) == 0 {
		b.WriteString(r.out)
	}
	return b.String()
}

// wantError fails the test unless the command failed with exactly one error,
// whose summary, line of the configuration and detail hold the given words. The
// only warnings beside it are facts of the target.
func wantError(t *testing.T, r result, summary, line string, words ...string) {
	t.Helper()
	if r.err == nil || len(r.errors) != 1 {
		t.Fatalf("%d errors, want exactly one, %q at %q\n%s", len(r.errors), summary, line, r.text())
	}
	for _, d := range r.warns {
		if !strings.HasPrefix(d.Summary, "Target ") && d.Summary != "Plan Made Without the Target" {
			t.Errorf("%s: also warns %q: %s", r.command, d.Summary, d.Detail)
		}
	}
	d := r.errors[0]
	if d.Summary != summary || !strings.Contains(d.line(), line) {
		t.Errorf("%s: error %q at %q; want %q at %q\n%s", r.command, d.Summary, d.line(), summary, line, d.Detail)
	}
	for _, word := range words {
		if !strings.Contains(strings.Join(strings.Fields(d.Detail), " "), word) {
			t.Errorf("%s: error %q says\n%s\nwhich lacks %q", r.command, d.Summary, d.Detail, word)
		}
	}
}

// hasWarning reports whether one of the warnings has the summary.
func (r result) hasWarning(summary string) bool {
	for _, d := range r.warns {
		if d.Summary == summary {
			return true
		}
	}
	return false
}
