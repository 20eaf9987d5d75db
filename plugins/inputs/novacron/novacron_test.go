package novacron

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/influxdata/telegraf"
	"github.com/influxdata/telegraf/config"
	"github.com/influxdata/telegraf/plugins/inputs"
	"github.com/influxdata/telegraf/plugins/serializers/influx"
	"github.com/influxdata/telegraf/testutil"

	"github.com/novacron/terraform-provider-novacron/internal/collect"
	"github.com/novacron/terraform-provider-novacron/internal/fault"
)

var update = flag.Bool("update", false, "write what the plugin gives now into the golden files and the README")

// interval is the time between the gathers of a recording.
const interval = 2 * time.Second

// replies is the recording that all testcases play; TestRecord makes it.
const replies = "testcases/qemu/replies.json"

func TestGolden(t *testing.T) {
	dirs, err := filepath.Glob("testcases/*")
	if err != nil || len(dirs) == 0 {
		t.Fatalf("no testcases: %v", err)
	}
	for _, dir := range dirs {
		t.Run(filepath.Base(dir), func(t *testing.T) {
			got := play(t, dir)
			golden := filepath.Join(dir, "expected.out")
			if *update {
				write(t, golden, got)
			}
			if diff := cmp.Diff(read(t, golden), got); diff != "" {
				t.Errorf("metrics differ (-golden +got); after a wanted change run go test -update:\n%s", diff)
			}
		})
	}
}

// play runs the plugin on a recording and returns its metrics as line protocol.
func play(t *testing.T, dir string) string {
	t.Helper()
	recording := read(t, replies)
	var out bytes.Buffer
	synctest.Test(t, func(t *testing.T) {
		n := load(t, read(t, filepath.Join(dir, "telegraf.conf")), func(string) collect.Source {
			r, err := collect.NewReplay(strings.NewReader(recording))
			if err != nil {
				t.Fatal(err)
			}
			return r
		})
		defer n.Stop()
		s := influx.Serializer{SortFields: true, UintSupport: true}
		if err := s.Init(); err != nil {
			t.Fatal(err)
		}
		for gather := 0; ; gather++ {
			time.Sleep(interval)
			var acc testutil.Accumulator
			if err := n.Gather(&acc); err != nil {
				t.Fatalf("Gather = %v", err)
			}
			if len(acc.Errors) > 0 {
				fmt.Fprintf(&out, "# gather %d: %v\n", gather, acc.Errors)
			}
			for _, m := range acc.GetTelegrafMetrics() {
				b, err := s.Serialize(m)
				if err != nil {
					t.Fatalf("Serialize(%v) = %v", m, err)
				}
				out.Write(b)
			}
			if len(acc.Errors) > 0 {
				return // at the end of the recording
			}
		}
	})
	return out.String()
}

// load reads a configuration the way Telegraf does.
func load(t *testing.T, conf string, source func(string) collect.Source) *Novacron {
	t.Helper()
	var n *Novacron
	// The registry is Telegraf's; a plugin made by it gets our source.
	was := inputs.Inputs["novacron"]
	inputs.Add("novacron", func() telegraf.Input { n = New(); n.source = source; return n })
	defer inputs.Add("novacron", was)
	c := config.NewConfig()
	if err := c.LoadConfigData([]byte(conf), config.EmptySourcePath); err != nil {
		t.Fatalf("LoadConfigData = %v", err)
	}
	n.Log = testutil.Logger{}
	if err := n.Init(); err != nil {
		t.Fatalf("Init = %v", err)
	}
	return n
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestReadmeShowsTheSampleConfigurationAndRealOutput(t *testing.T) {
	for mark, want := range map[string]string{
		"sample.conf": "```toml\n" + read(t, "sample.conf") + "```\n",
		"example":     "```text\n" + example(t) + "```\n",
	} {
		readme := read(t, "README.md")
		re := regexp.MustCompile(`(?s)(<!-- ` + regexp.QuoteMeta(mark) + ` -->\n)(.*)(<!-- /` + regexp.QuoteMeta(mark) + ` -->)`)
		m := re.FindStringSubmatchIndex(readme)
		if m == nil {
			t.Fatalf("README.md has no section between the marks %q", mark)
		}
		if *update {
			readme = readme[:m[4]] + want + readme[m[5]:]
			write(t, "README.md", readme)
			m = re.FindStringSubmatchIndex(readme)
		}
		if diff := cmp.Diff(want, readme[m[4]:m[5]]); diff != "" {
			t.Errorf("README.md differs from %s (-want +README); go test -update pastes it:\n%s", mark, diff)
		}
	}
	if New().SampleConfig() != read(t, "sample.conf") {
		t.Error("SampleConfig() is not sample.conf")
	}
}

// example returns the last metrics of each name of a golden file.
func example(t *testing.T) string {
	t.Helper()
	last := make(map[string]string)
	var order []string
	for line := range strings.Lines(read(t, "testcases/qemu/expected.out")) {
		name, _, ok := strings.Cut(line, ",")
		if !ok || strings.HasPrefix(line, "#") {
			continue
		}
		_, fields, _ := strings.Cut(line, " ")
		key := name + regexp.MustCompile(`=[^,]*`).ReplaceAllString(fields, "") // each shape once
		key, _, _ = strings.Cut(key, ",")
		if _, seen := last[key]; !seen {
			order = append(order, key)
		}
		last[key] = line
	}
	var out strings.Builder
	for _, key := range order {
		out.WriteString(last[key])
	}
	return out.String()
}

// schema reads the tables of the README: the type and kind of each field, as
// "novacron_cpu.time_ns": "uint counter".
func schema(t *testing.T) map[string]string {
	t.Helper()
	out := make(map[string]string)
	measurement := ""
	for line := range strings.Lines(read(t, "README.md")) {
		if name, ok := strings.CutPrefix(line, "### "); ok {
			measurement = strings.TrimSpace(name)
		}
		cells := strings.Split(line, "|")
		if len(cells) != 6 || measurement == "" || strings.Contains(line, "| field |") || strings.Contains(line, "---") {
			continue
		}
		for name := range strings.SplitSeq(strings.TrimSpace(cells[1]), ", ") {
			out[measurement+"."+name] = strings.TrimSpace(cells[2]) + " " + strings.TrimSpace(cells[3])
		}
	}
	return out
}

func TestReadmeListsEveryFieldWithItsTypeAndTheGoldenFilesHaveMostOfThem(t *testing.T) {
	want := schema(t)
	seen := make(map[string]bool)
	dirs, _ := filepath.Glob("testcases/*")
	for _, dir := range dirs {
		recording := read(t, replies)
		synctest.Test(t, func(t *testing.T) {
			n := load(t, read(t, filepath.Join(dir, "telegraf.conf")), func(string) collect.Source {
				r, err := collect.NewReplay(strings.NewReader(recording))
				if err != nil {
					t.Fatal(err)
				}
				return r
			})
			defer n.Stop()
			for range 3 {
				time.Sleep(interval)
				var acc testutil.Accumulator
				_ = n.Gather(&acc) // its errors are metrics here
				for _, m := range acc.GetTelegrafMetrics() {
					for _, f := range m.FieldList() {
						key := m.Name() + "." + f.Key
						seen[key] = true
						if got := kind(f.Value, m.Type()); got != want[key] {
							t.Errorf("%s is sent as %q, the README says %q", key, got, want[key])
						}
					}
				}
			}
		})
	}
	var missing []string
	for key := range want {
		if !seen[key] {
			missing = append(missing, key)
		}
	}
	slices.Sort(missing)
	if len(missing) > len(want)/5 {
		t.Errorf("%d of %d documented fields are in no golden file: %v", len(missing), len(want), missing)
	}
}

func kind(v any, typ telegraf.ValueType) string {
	name := map[telegraf.ValueType]string{telegraf.Counter: "counter", telegraf.Gauge: "gauge"}[typ]
	switch v.(type) {
	case int64:
		return "int " + name
	case uint64:
		return "uint " + name
	case float64:
		return "float " + name
	case string:
		return "string " + name
	}
	return fmt.Sprintf("%T %s", v, name)
}

func TestInitRefusesWhatCannotWorkAndNeverConnects(t *testing.T) {
	cases := []struct {
		name  string
		make  func(*Novacron)
		field string
	}{
		{"a URI of another hypervisor", func(n *Novacron) { n.URIs = []string{"xen:///system"} }, "uris"},
		{"the same URI twice", func(n *Novacron) { n.URIs = []string{"qemu:///system", "qemu:///system"} }, "uris"},
		{"an unknown group", func(n *Novacron) { n.Groups = []string{"disk"} }, "groups"},
		{"no time at all", func(n *Novacron) { n.Timeout = 0 }, "timeout"},
		{"a broken glob", func(n *Novacron) { n.Include = []string{"[a"} }, ""},
	}
	for _, c := range cases {
		n := New()
		c.make(n)
		if err := n.Init(); !errors.Is(err, fault.Invalid) || fault.FieldOf(err) != c.field {
			t.Errorf("%s: Init = %v at %q, want fault.Invalid at %q", c.name, err, fault.FieldOf(err), c.field)
		}
	}
	n := New()
	n.URIs = []string{"qemu:///system?socket=/nonexistent/socket", "qemu+tcp://192.0.2.1/system"}
	if err := n.Init(); err != nil {
		t.Errorf("Init with hosts that are down = %v, want nil", err)
	}
}

func TestDefaultURI(t *testing.T) {
	for _, c := range []struct {
		env  string
		uid  int
		want string
	}{{"", 0, "qemu:///system"}, {"", 1000, "qemu:///session"}, {"qemu+tcp://h/system", 0, "qemu+tcp://h/system"}} {
		if got := defaultURI(c.env, c.uid); got != c.want {
			t.Errorf("defaultURI(%q, %d) = %q, want %q", c.env, c.uid, got, c.want)
		}
	}
}

// slowHost answers after a while, or never.
type slowHost struct {
	collect.Source
	after time.Duration
}

func (h slowHost) Identity(ctx context.Context) (collect.Identity, error) {
	select {
	case <-time.After(h.after):
		return h.Source.Identity(ctx)
	case <-ctx.Done():
		return collect.Identity{}, fault.As(fault.Unavailable, context.Cause(ctx))
	}
}

func TestAHostThatHangsDoesNotHoldUpTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := New()
		n.URIs, n.Log = []string{"qemu+tcp://a/system", "qemu+tcp://hangs/system", "qemu+tcp://c/system"}, testutil.Logger{}
		n.source = func(uri string) collect.Source {
			r, err := collect.NewReplay(strings.NewReader(`[{"identity":{"hostname":"` + uri[12:13] + `"}}]`))
			if err != nil {
				t.Fatal(err)
			}
			if uri == n.URIs[1] {
				return slowHost{r, time.Hour}
			}
			return slowHost{r, time.Second}
		}
		if err := n.Init(); err != nil {
			t.Fatal(err)
		}
		defer n.Stop()
		var acc testutil.Accumulator
		start := time.Now()
		if err := n.Gather(&acc); err != nil {
			t.Errorf("Gather = %v, want nil", err)
		}
		if took := time.Since(start); took != 5*time.Second {
			t.Errorf("Gather took %v, want the timeout of one host", took)
		}
		up := map[string]any{}
		for _, m := range acc.GetTelegrafMetrics() {
			if v, ok := m.GetField("up"); ok {
				host, _ := m.GetTag("uri")
				up[host] = v
			}
		}
		if want := (map[string]any{n.URIs[0]: int64(1), n.URIs[1]: int64(0), n.URIs[2]: int64(1)}); !cmp.Equal(up, want) {
			t.Errorf("up = %v, want %v", up, want)
		}
		if len(acc.Errors) != 1 || !errors.Is(acc.Errors[0], fault.Unavailable) {
			t.Errorf("errors = %v, want one fault.Unavailable", acc.Errors)
		}
	})
}

func TestStopEndsAGatherThatWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := New()
		n.URIs, n.Log, n.Timeout = []string{"qemu+tcp://hangs/system"}, testutil.Logger{}, config.Duration(time.Hour)
		n.source = func(string) collect.Source {
			r, _ := collect.NewReplay(strings.NewReader("[]"))
			return slowHost{r, time.Hour}
		}
		if err := n.Init(); err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(time.Second, n.Stop)
		var acc testutil.Accumulator
		start := time.Now()
		_ = n.Gather(&acc)
		if took := time.Since(start); took != time.Second || len(acc.Errors) != 0 {
			t.Errorf("a gather that was stopped took %v with errors %v, want 1s and none", took, acc.Errors)
		}
	})
}
