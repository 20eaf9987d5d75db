package novacron

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/influxdata/telegraf"
	"github.com/influxdata/telegraf/config"
	"github.com/influxdata/telegraf/metric"
	"github.com/influxdata/telegraf/plugins/common/shim"
	parse "github.com/influxdata/telegraf/plugins/parsers/influx"
	serialize "github.com/influxdata/telegraf/plugins/serializers/influx"
)

var update = flag.Bool("update", false, "rewrite testcases/*/expected.out")

// TestGoldenCases runs each folder of testcases through Telegraf's own
// configuration loader: telegraf.conf, input.influx in, expected.out out.
func TestGoldenCases(t *testing.T) {
	dirs, err := filepath.Glob("testcases/*")
	if err != nil || len(dirs) == 0 {
		t.Fatalf("Glob(testcases/*) = %v, %v; want folders", dirs, err)
	}
	for _, dir := range dirs {
		t.Run(filepath.Base(dir), func(t *testing.T) {
			cfg := config.NewConfig()
			if err := cfg.LoadConfig(filepath.Join(dir, "telegraf.conf")); err != nil {
				t.Fatalf("LoadConfig = %v, want no error", err)
			}
			if len(cfg.Processors) != 1 {
				t.Fatalf("%d processors configured, want 1", len(cfg.Processors))
			}
			p := cfg.Processors[0]
			if err := p.Init(); err != nil {
				t.Fatalf("Init = %v, want no error", err)
			}
			got := runThrough(t, p, readMetrics(t, filepath.Join(dir, "input.influx")))
			golden := filepath.Join(dir, "expected.out")
			if *update {
				writeMetrics(t, golden, got)
			}
			same(t, readMetrics(t, golden), got)
		})
	}
}

// plain is a metric without what a golden file cannot know: the name of this
// machine, how long a point took, and the type, which line protocol lacks.
type plain struct {
	Name   string
	Tags   map[string]string
	Fields map[string]any
	Time   time.Time
}

func plainOf(ms []telegraf.Metric) (out []plain) {
	for _, m := range ms {
		p := plain{m.Name(), m.Tags(), m.Fields(), m.Time().UTC()}
		delete(p.Tags, "agent")
		delete(p.Fields, "cost_ns_per_point")
		out = append(out, p)
	}
	return out
}

func same(t *testing.T, want, got []telegraf.Metric) {
	t.Helper()
	if diff := cmp.Diff(plainOf(want), plainOf(got), cmpopts.EquateApprox(1e-9, 1e-9)); diff != "" {
		t.Errorf("metrics differ (-want +got):\n%s", diff)
	}
}

// collected keeps what a plugin emits. Whoever emits after the end panics, as in
// the shim.
type collected struct {
	telegraf.Accumulator
	metrics []telegraf.Metric
	ended   bool
}

func (c *collected) AddMetric(m telegraf.Metric) {
	if c.ended {
		panic("a metric was emitted after the end")
	}
	c.metrics = append(c.metrics, m)
}

// journal keeps what a plugin logs.
type journal struct {
	telegraf.Logger
	mu    sync.Mutex
	lines strings.Builder
}

func (j *journal) add(level, format string, args ...any) {
	j.mu.Lock()
	defer j.mu.Unlock()
	fmt.Fprintf(&j.lines, level+" "+format+"\n", args...)
}
func (j *journal) Errorf(format string, args ...any) { j.add("E!", format, args...) }
func (j *journal) Warnf(format string, args ...any)  { j.add("W!", format, args...) }
func (j *journal) Infof(format string, args ...any)  { j.add("I!", format, args...) }

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.lines.String()
}

type processor interface {
	Start(telegraf.Accumulator) error
	Add(telegraf.Metric, telegraf.Accumulator) error
	Stop()
}

func runThrough(t testing.TB, p processor, in []telegraf.Metric) []telegraf.Metric {
	t.Helper()
	var acc collected
	if err := p.Start(&acc); err != nil {
		t.Fatalf("Start = %v, want no error", err)
	}
	for _, m := range in {
		if err := p.Add(m, &acc); err != nil {
			t.Fatalf("Add = %v, want no error", err)
		}
	}
	acc.ended = true
	p.Stop()
	return acc.metrics
}

func readMetrics(t testing.TB, path string) []telegraf.Metric {
	t.Helper()
	p := &parse.Parser{}
	if err := p.Init(); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	ms, err := p.Parse(b)
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return ms
}

func writeMetrics(t testing.TB, path string, ms []telegraf.Metric) {
	t.Helper()
	s := &serialize.Serializer{UintSupport: true, SortFields: true}
	if err := s.Init(); err != nil {
		t.Fatal(err)
	}
	b, err := s.SerializeBatch(ms)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b, 0o644); err != nil {
		t.Fatal(err)
	}
}

// made returns an initialised plugin that logs to the capture.
func made(t testing.TB, change func(*Novacron)) (*Novacron, *journal) {
	t.Helper()
	log := &journal{}
	n := New()
	n.Log, n.Agent = log, "a1"
	if change != nil {
		change(n)
	}
	if err := n.Init(); err != nil {
		t.Fatalf("Init = %v, want no error", err)
	}
	return n, log
}

func guests(t testing.TB) []telegraf.Metric {
	return readMetrics(t, "testcases/empty-configuration/input.influx")
}

func TestEveryMetricPassesUntouchedAndInOrder(t *testing.T) {
	var in []telegraf.Metric
	for _, f := range []string{"empty-configuration", "what-it-does-not-know-passes"} {
		in = append(in, readMetrics(t, "testcases/"+f+"/input.influx")...)
	}
	in = append(in, metric.New("empty", nil, nil, time.Unix(1, 0)))
	want := make([]telegraf.Metric, len(in))
	for i, m := range in {
		want[i] = m.Copy()
	}
	n, _ := made(t, nil)
	var passed []telegraf.Metric
	seen := map[telegraf.Metric]bool{}
	for _, m := range in {
		seen[m] = true
	}
	for _, m := range runThrough(t, n, in) {
		if seen[m] {
			passed = append(passed, m)
		}
	}
	same(t, want, passed)
}

func TestTheLogTellsWhenAnAlarmStartsAndEnds(t *testing.T) {
	n, log := made(t, nil)
	runThrough(t, n, guests(t))
	lines := log.String()
	if strings.Count(lines, "Anomaly: web-1 cpu usage 98.") != 1 || strings.Count(lines, "Anomaly over: web-1 cpu usage") != 1 {
		t.Errorf("the log is\n%swant one line for the start and one for the end of web-1's anomaly", lines)
	}
	if strings.Contains(lines, "web-2") {
		t.Errorf("the log is\n%swant nothing about web-2, which idles", lines)
	}
}

func TestStateSurvivesARestart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	keep := func(n *Novacron) { n.StateFile = path }
	in := guests(t)
	whole, _ := made(t, nil)
	want := runThrough(t, whole, in)
	first, _ := made(t, keep)
	got := runThrough(t, first, in[:len(in)*2/3])
	second, log := made(t, keep)
	got = append(got, runThrough(t, second, in[len(in)*2/3:])...)
	same(t, want, got)
	if !strings.Contains(log.String(), "Took the state of 2 series") {
		t.Errorf("the log is\n%swant it to say that state was taken over", log.String())
	}
	if fi, err := os.Stat(path); err != nil || fi.Mode().Perm() != 0o600 {
		t.Errorf("Stat(state) = %v, %v; want a file that only its owner may read", fi, err)
	}
	leftovers(t, path)
}

// leftovers fails when the folder has more than the state and its lock.
func leftovers(t *testing.T, path string) {
	t.Helper()
	files, err := filepath.Glob(path + ".*")
	if err != nil || !cmp.Equal(files, []string{path + ".lock"}) {
		t.Errorf("beside the state there are %v, %v; want only the lock", files, err)
	}
}

func TestStateIsSavedWhileItRuns(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	n, _ := made(t, func(n *Novacron) { n.StateFile, n.StateSaveInterval = path, config.Duration(time.Second) })
	var acc collected
	if err := n.Start(&acc); err != nil {
		t.Fatal(err)
	}
	defer n.Stop()
	for _, m := range guests(t)[:50] {
		if err := n.Add(m, &acc); err != nil {
			t.Fatal(err)
		}
	}
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if _, err := os.Stat(path); err == nil {
			return
		}
		if time.Now().After(end) {
			t.Fatal("no state file 20 s after the start with state_save_interval = 1s")
		}
	}
}

func TestDamagedStateIsSetAsideLoudly(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	if err := os.WriteFile(path, []byte("novacron analytics state\nbut not really"), 0o600); err != nil {
		t.Fatal(err)
	}
	n, log := made(t, func(n *Novacron) { n.StateFile = path })
	if out := runThrough(t, n, guests(t)); len(out) == 0 {
		t.Error("nothing came out with a damaged state file, want a fresh start")
	}
	aside, err := filepath.Glob(path + ".damaged-*")
	if err != nil || len(aside) != 1 {
		t.Fatalf("Glob(damaged) = %v, %v; want the damaged file", aside, err)
	}
	if b, err := os.ReadFile(aside[0]); err != nil || !bytes.HasSuffix(b, []byte("not really")) {
		t.Errorf("ReadFile(%s) = %q, %v; want what it was", aside[0], b, err)
	}
	if !strings.Contains(log.String(), aside[0]) {
		t.Errorf("the log is\n%swant it to name %s", log.String(), aside[0])
	}
	again, log := made(t, func(n *Novacron) { n.StateFile = path })
	runThrough(t, again, nil)
	if !strings.Contains(log.String(), "Took the state of 2 series") {
		t.Errorf("the log is\n%swant the new state to be good", log.String())
	}
}

func TestStateFileFaultsAreFoundAtTheStart(t *testing.T) {
	dir := t.TempDir()
	taken := filepath.Join(dir, "taken")
	holder, _ := made(t, func(n *Novacron) { n.StateFile = taken })
	if err := holder.Start(&collected{}); err != nil {
		t.Fatal(err)
	}
	defer holder.Stop()
	folder := filepath.Join(dir, "folder")
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, path := range map[string]string{
		"in use by another processor": taken,
		"in a folder that is missing": filepath.Join(dir, "nowhere", "state"),
		"a folder":                    folder,
	} {
		n, _ := made(t, func(n *Novacron) { n.StateFile = path })
		if err := n.Start(&collected{}); err == nil {
			n.Stop()
			t.Errorf("Start with a state_file that is %s = no error, want one", name)
		}
	}
}

func TestConfigurationThatMakesNoSenseIsRefused(t *testing.T) {
	for want, change := range map[string]func(*Novacron){
		"alerts_per_week":     func(n *Novacron) { n.AlertsPerWeek = 0 },
		"max_series":          func(n *Novacron) { n.MaxSeries = 0 },
		"report":              func(n *Novacron) { n.Report = "some" },
		"heartbeat":           func(n *Novacron) { n.Heartbeat = -1 },
		"health_interval":     func(n *Novacron) { n.HealthInterval = 1 },
		"state_save_interval": func(n *Novacron) { n.StateSaveInterval = 0 },
		"default_fields":      func(n *Novacron) { n.DefaultFields = "some" },
		"gaps":                func(n *Novacron) { n.Fields = []Field{{Measurement: "m", Field: "f", Gaps: "x"}} },
		"pattern":             func(n *Novacron) { n.Fields = []Field{{Measurement: "[", Field: "f"}} },
	} {
		n := New()
		n.Log = &journal{}
		change(n)
		if err := n.Init(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Init with a wrong %s = %v, want an error that names it", want, err)
		}
	}
}

// The shim closes its channel before it calls Stop: whoever emits from Stop or
// from a goroutine panics there.
func TestItRunsInTheShim(t *testing.T) {
	input, err := os.Open("testcases/empty-configuration/input.influx")
	if err != nil {
		t.Fatal(err)
	}
	defer input.Close()
	output, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer output.Close()
	stdin, stdout := os.Stdin, os.Stdout
	os.Stdin, os.Stdout = input, output
	s := shim.New()
	os.Stdin, os.Stdout = stdin, stdout

	path, conf := filepath.Join(t.TempDir(), "state"), filepath.Join(t.TempDir(), "plugin.conf")
	text := fmt.Sprintf("[[processors.novacron]]\nstate_file = %q\nalerts_per_week = 1\nheartbeat = \"30s\"\n"+
		"[[processors.novacron.fields]]\nmeasurement = \"mem\"\nfield = \"used\"\nmax = 100\n", path)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.LoadConfig(&conf); err != nil {
		t.Fatalf("LoadConfig = %v, want no error", err)
	}
	if err := s.Run(shim.PollIntervalDisabled); err != nil {
		t.Fatalf("Run = %v, want no error", err)
	}
	var alarms, passed int
	for _, m := range readMetrics(t, output.Name()) {
		switch m.Name() {
		case "novacron_cpu":
			passed++
		case "novacron_anomaly":
			if alarm, _ := m.GetField("alarm"); alarm == true {
				alarms++
			}
		}
	}
	if want := len(guests(t)); passed != want || alarms != 1 {
		t.Errorf("%d metrics passed and %d alarms, want %d and 1", passed, alarms, want)
	}
	if _, err := os.Stat(path); err != nil {
		t.Errorf("after the end of input: %v, want the state saved", err)
	}
}

// shown returns what README.md has between the markers of a block.
func shown(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(b), "<!-- "+name+" -->\n```toml\n")
	text, _, ok2 := strings.Cut(rest, "```\n<!-- /"+name+" -->")
	if !ok || !ok2 {
		t.Fatalf("README.md has no block between <!-- %s --> and <!-- /%s -->", name, name)
	}
	return text
}

func TestTheREADMEShowsSampleConf(t *testing.T) {
	if diff := cmp.Diff(sampleConfig, shown(t, "sample.conf")); diff != "" {
		t.Errorf("README.md and sample.conf differ (-sample.conf +README.md):\n%s", diff)
	}
}

// Every default in sample.conf is the one that New sets: uncommented, the
// sample configures what an empty block does.
func TestSampleConfStatesTheDefaults(t *testing.T) {
	var on []string
	for line := range strings.Lines(sampleConfig) {
		if strings.Contains(line, "[[processors.novacron.fields]]") {
			break
		}
		on = append(on, strings.Replace(line, "  # ", "  ", 1))
	}
	load := func(text string) *Novacron {
		cfg := config.NewConfig()
		if err := cfg.LoadConfigData([]byte(text), "test"); err != nil {
			t.Fatalf("LoadConfigData(%s) = %v, want no error", text, err)
		}
		return cfg.Processors[0].Processor.(*Novacron)
	}
	opts := []cmp.Option{cmpopts.IgnoreFields(Novacron{}, "Log"), cmpopts.IgnoreUnexported(Novacron{})}
	if diff := cmp.Diff(load("[[processors.novacron]]\n"), load(strings.Join(on, "")), opts...); diff != "" {
		t.Errorf("the sample differs from an empty block (-empty +sample):\n%s", diff)
	}
}

// nobody listens.
type nobody struct{ telegraf.Accumulator }

func (nobody) AddMetric(telegraf.Metric) {}

func BenchmarkAdd(b *testing.B) {
	n, _ := made(b, nil)
	in := guests(b)
	acc := nobody{}
	at := time.Unix(1_800_000_000, 0)
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		m := in[i%len(in)]
		at = at.Add(time.Second / 2)
		m.SetTime(at)
		if err := n.Add(m, acc); err != nil {
			b.Fatal(err)
		}
	}
}
