// Package novacron is the Telegraf processor that adds a verdict to the metrics
// that pass: is this value to be expected?
package novacron

import (
	_ "embed"
	"os"
	"sync"
	"time"

	"github.com/influxdata/telegraf"
	"github.com/influxdata/telegraf/config"
	"github.com/influxdata/telegraf/plugins/processors"

	"github.com/novacron/terraform-provider-novacron/internal/analytics"
	"github.com/novacron/terraform-provider-novacron/internal/analytics/anomaly"
	"github.com/novacron/terraform-provider-novacron/internal/fault"
	"github.com/novacron/terraform-provider-novacron/internal/sample"
	"github.com/novacron/terraform-provider-novacron/plugins/internal/tmetric"
)

//go:embed sample.conf
var sampleConfig string

// Novacron is the plugin; its fields are its configuration. Telegraf calls Init
// once, then Start, Add for every metric and at last Stop. Add lets every metric
// through as it is and adds verdicts behind it; nothing is emitted from
// anywhere else, because the external-plugin shim has closed its channel when
// it calls Stop.
type Novacron struct {
	AlertsPerWeek     Number          `toml:"alerts_per_week"`
	DefaultFields     string          `toml:"default_fields"`
	Fields            []Field         `toml:"fields"`
	MaxSeries         int             `toml:"max_series"`
	Report            string          `toml:"report"`
	Heartbeat         config.Duration `toml:"heartbeat"`
	HealthInterval    config.Duration `toml:"health_interval"`
	Agent             string          `toml:"agent"`
	StateFile         string          `toml:"state_file"`
	StateSaveInterval config.Duration `toml:"state_save_interval"`

	Log telegraf.Logger `toml:"-"`

	mu      sync.Mutex // guards engine and scratch
	engine  *analytics.Engine
	scratch sample.Sample

	file *statefile
	done chan struct{} // closed by Stop
	bg   sync.WaitGroup

	clock func() time.Time // nil in tests that compare output
}

// Field chooses fields to score; see analytics.Rule.
type Field struct {
	Measurement string `toml:"measurement"`
	Field       string `toml:"field"`
	Min         Number `toml:"min"`
	Max         Number `toml:"max"`
	MaxField    string `toml:"max_field"`
	Step        Number `toml:"step"`
	Title       string `toml:"title"`
	Unit        string `toml:"unit"`
	Gaps        string `toml:"gaps"`
}

// New returns the plugin with its defaults.
func New() *Novacron {
	return &Novacron{
		AlertsPerWeek:     anomaly.DefaultAlertsPerWeek,
		DefaultFields:     "include",
		MaxSeries:         20_000,
		Report:            string(analytics.ReportChanges),
		Heartbeat:         config.Duration(time.Minute),
		HealthInterval:    config.Duration(10 * time.Second),
		StateSaveInterval: config.Duration(time.Minute),
		clock:             time.Now,
	}
}

// SampleConfig returns the documented configuration.
func (*Novacron) SampleConfig() string { return sampleConfig }

// Init validates the configuration. It touches no file.
func (n *Novacron) Init() error {
	if n.AlertsPerWeek <= 0 {
		return fault.At("alerts_per_week", fault.Errorf(fault.Invalid, "alerts_per_week is %v: want more than 0", n.AlertsPerWeek))
	}
	if n.MaxSeries < 1 {
		return fault.At("max_series", fault.Errorf(fault.Invalid, "max_series is %d: want at least 1", n.MaxSeries))
	}
	if n.StateSaveInterval < config.Duration(time.Second) {
		return fault.At("state_save_interval", fault.Errorf(fault.Invalid, "state_save_interval is %v: want at least 1s", time.Duration(n.StateSaveInterval)))
	}
	if n.Agent == "" {
		name, err := os.Hostname()
		if err != nil {
			return fault.WithHint(fault.At("agent", err), "set agent to a name of this Telegraf")
		}
		n.Agent = name
	}
	rules, err := n.rules()
	if err != nil {
		return err
	}
	n.engine, err = analytics.New(analytics.Options{
		Rules:          rules,
		AlertsPerWeek:  float64(n.AlertsPerWeek),
		MaxSeries:      n.MaxSeries,
		Report:         analytics.Report(n.Report),
		Heartbeat:      time.Duration(n.Heartbeat),
		HealthInterval: time.Duration(n.HealthInterval),
		Tags:           []sample.Tag{{Key: "agent", Value: n.Agent}},
		Tell:           n.tell,
		Clock:          n.clock,
	})
	return err
}

// rules are the user's fields, which come first, and the default ones.
func (n *Novacron) rules() ([]analytics.Rule, error) {
	rules := make([]analytics.Rule, 0, len(n.Fields))
	for _, f := range n.Fields {
		r := analytics.Rule{
			Measurement: f.Measurement, Field: f.Field, Min: float64(f.Min), Max: float64(f.Max),
			MaxField: f.MaxField, Step: float64(f.Step), Title: f.Title, Unit: f.Unit,
		}
		switch f.Gaps {
		case "", "missing":
		case "usual":
			r.Sparse = true
		default:
			return nil, fault.At("fields", fault.Errorf(fault.Invalid, "gaps of %q %q is %q: want \"missing\" or \"usual\"", f.Measurement, f.Field, f.Gaps))
		}
		rules = append(rules, r)
	}
	switch n.DefaultFields {
	case "include":
		return append(rules, analytics.DefaultRules()...), nil
	case "exclude":
		return rules, nil
	}
	return nil, fault.At("default_fields", fault.Errorf(fault.Invalid, "default_fields is %q: want \"include\" or \"exclude\"", n.DefaultFields))
}

func (n *Novacron) tell(t analytics.Turn, line string) {
	if t == analytics.Starts {
		n.Log.Warnf("Anomaly: %s", line)
		return
	}
	n.Log.Infof("Anomaly over: %s", line)
}

// Start takes the saved state back and keeps saving from then on.
func (n *Novacron) Start(telegraf.Accumulator) error {
	if n.StateFile == "" {
		return nil
	}
	f, err := openStatefile(n.StateFile, n.Log)
	if err != nil {
		return err
	}
	n.file, n.done = f, make(chan struct{})
	if err := f.load(n.engine); err != nil {
		f.close()
		return err
	}
	n.bg.Go(n.saveNowAndThen)
	return nil
}

// Add passes m on untouched and judges a copy of its values. It is quick and
// never fails: what cannot be judged is counted by the engine.
func (n *Novacron) Add(m telegraf.Metric, acc telegraf.Accumulator) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	tmetric.Sample(&n.scratch, m) // before it is passed on: it is the next one's then
	acc.AddMetric(m)
	n.engine.Process(&n.scratch, func(s sample.Sample) { acc.AddMetric(tmetric.Metric(&s)) })
	return nil
}

// Stop saves the state a last time. It emits nothing.
func (n *Novacron) Stop() {
	if n.file == nil {
		return
	}
	close(n.done)
	n.bg.Wait()
	n.save()
	n.file.close()
}

func (n *Novacron) saveNowAndThen() {
	tick := time.NewTicker(time.Duration(n.StateSaveInterval))
	defer tick.Stop()
	for {
		select {
		case <-n.done:
			return
		case <-tick.C:
			n.save()
		}
	}
}

func (n *Novacron) save() {
	if err := n.file.save(&n.mu, n.engine); err != nil {
		n.Log.Errorf("State is not saved: %v", err)
	}
}

// Telegraf finds plugins by what they register here.
func init() {
	processors.AddStreaming("novacron", func() telegraf.StreamingProcessor { return New() })
}
