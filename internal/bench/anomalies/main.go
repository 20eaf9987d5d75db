// Command anomalies runs an anomaly detector over labelled and real series, one
// pass, strictly causal, and reports alarms per series-week and cost.
//
//	anomalies -nab DIR -out DIR        a result file per NAB series, for a NAB scorer
//	anomalies -vms CPU.csv.gz -capacity VMS.csv
package main

import (
	"compress/gzip"
	"encoding/csv"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/novacron/terraform-provider-novacron/internal/analytics/anomaly"
)

func main() {
	nab := flag.String("nab", "", "folder of NAB series, CATEGORY/NAME.csv with timestamp,value")
	out := flag.String("out", "", "folder for the NAB results")
	vms := flag.String("vms", "", "gzipped CSV of vm,timestamp_ms,cpu_mhz")
	capacity := flag.String("capacity", "", "CSV of vm,cpu_count,cpu_capacity_mhz,...")
	rate := flag.Float64("rate", anomaly.DefaultAlertsPerWeek, "alerts per series-week to aim at")
	flag.Parse()
	if err := run(*nab, *out, *vms, *capacity, anomaly.Options{AlertsPerWeek: *rate}); err != nil {
		fmt.Fprintln(os.Stderr, "anomalies:", err)
		os.Exit(1)
	}
}

func run(nab, out, vms, capacity string, o anomaly.Options) error {
	if nab == "" && vms == "" {
		return errors.New("nothing to do: give -nab or -vms")
	}
	if nab != "" {
		if err := scoreNAB(nab, out, o); err != nil {
			return err
		}
	}
	if vms != "" {
		return countAlarms(vms, capacity, o)
	}
	return nil
}

// series is one run of points with its own detector.
type series struct {
	name   string
	points []anomaly.Point
	text   [][]string // the rows as they were read
}

// tally is what a detector did on a series.
type tally struct {
	alarms int
	weeks  float64
	scores []float64
	spent  time.Duration
}

// watch runs a fresh detector over s. The score of a point inside an episode is
// 0: an episode is one detection.
func watch(s series, o anomaly.Options) (tally, error) {
	d, err := anomaly.New(anomaly.MethodTail, o)
	if err != nil {
		return tally{}, err
	}
	t := tally{scores: make([]float64, len(s.points))}
	start := time.Now()
	for i, p := range s.points {
		var v anomaly.Verdict
		d.Step(p, &v)
		if v.Alarm {
			t.alarms++
		}
		if v.Alarm || v.State == anomaly.Normal {
			t.scores[i] = v.Score
		}
	}
	t.spent = time.Since(start)
	if n := len(s.points); n > 0 {
		t.weeks = float64(s.points[n-1].At-s.points[0].At) / 1e9 / 604800
	}
	return t, nil
}

func scoreNAB(dir, out string, o anomaly.Options) error {
	var files []string
	err := filepath.WalkDir(dir, func(p string, e fs.DirEntry, err error) error {
		if err == nil && filepath.Ext(p) == ".csv" {
			files = append(files, p)
		}
		return err
	})
	if err != nil {
		return err
	}
	var all []tally
	for _, f := range files {
		s, err := readNAB(f)
		if err != nil {
			return err
		}
		t, err := watch(s, o)
		if err != nil {
			return err
		}
		all = append(all, t)
		rel, _ := filepath.Rel(dir, f)
		if out == "" {
			continue
		}
		if err := writeNAB(filepath.Join(out, rel), s, t.scores); err != nil {
			return err
		}
	}
	report("NAB", all)
	return nil
}

func readNAB(path string) (series, error) {
	rows, err := readCSV(path)
	if err != nil {
		return series{}, err
	}
	s := series{name: path}
	for i, r := range rows {
		at, err := time.Parse(time.DateTime, r[0])
		if err != nil {
			return s, fmt.Errorf("%s row %d: %w", path, i+2, err)
		}
		x, err := strconv.ParseFloat(r[1], 64)
		if err != nil {
			return s, fmt.Errorf("%s row %d: %w", path, i+2, err)
		}
		s.points = append(s.points, anomaly.Point{At: at.UnixNano(), Value: x})
		s.text = append(s.text, r[:2])
	}
	return s, nil
}

func writeNAB(path string, s series, scores []float64) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	w := csv.NewWriter(f)
	rows := [][]string{{"timestamp", "value", "anomaly_score"}}
	for i, r := range s.text {
		rows = append(rows, append(r, strconv.FormatFloat(scores[i], 'g', 9, 64)))
	}
	return errors.Join(w.WriteAll(rows), f.Close())
}

// countAlarms runs every VM's CPU utilisation, in percent of its capacity.
func countAlarms(cpu, vms string, o anomaly.Options) error {
	caps, err := readCSV(vms)
	if err != nil {
		return err
	}
	capacity := map[string]float64{}
	for _, r := range caps {
		if capacity[r[0]], err = strconv.ParseFloat(r[2], 64); err != nil {
			return fmt.Errorf("%s: VM %s: %w", vms, r[0], err)
		}
	}
	rows, err := readCSV(cpu)
	if err != nil {
		return err
	}
	byVM := map[string]*series{}
	var order []string
	for _, r := range rows {
		s := byVM[r[0]]
		if s == nil {
			s = &series{name: r[0]}
			byVM[r[0]] = s
			order = append(order, r[0])
		}
		ms, err1 := strconv.ParseInt(r[1], 10, 64)
		mhz, err2 := strconv.ParseFloat(r[2], 64)
		if err := errors.Join(err1, err2); err != nil {
			return fmt.Errorf("%s: VM %s: %w", cpu, r[0], err)
		}
		s.points = append(s.points, anomaly.Point{
			At: ms * 1e6, Value: 100 * mhz / capacity[r[0]], Range: anomaly.Range{Max: 100},
		})
	}
	var all []tally
	for _, name := range order {
		t, err := watch(*byVM[name], o)
		if err != nil {
			return err
		}
		fmt.Printf("  VM %-6s %2d alarms in %.1f weeks\n", name, t.alarms, t.weeks)
		all = append(all, t)
	}
	report("VM CPU", all)
	return nil
}

// report prints the rate of alarms with a 95 % bootstrap interval over series.
func report(what string, all []tally) {
	rate := func(pick func(i int) tally) float64 {
		var a, w float64
		for i := range all {
			t := pick(i)
			a += float64(t.alarms)
			w += t.weeks
		}
		return a / w
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	var boot []float64
	for range 2000 {
		boot = append(boot, rate(func(int) tally { return all[rnd.IntN(len(all))] }))
	}
	slices.Sort(boot)
	var points int
	var spent time.Duration
	for _, t := range all {
		points += len(t.scores)
		spent += t.spent
	}
	fmt.Printf("%s: %d series, %d points, %.3f alarms per series-week (95 %%: %.3f..%.3f), %d ns a point\n",
		what, len(all), points, rate(func(i int) tally { return all[i] }),
		boot[50], boot[len(boot)-50], int(math.Round(float64(spent.Nanoseconds())/float64(points))))
}

// readCSV returns the rows below the header, unzipped when the name ends in .gz.
func readCSV(path string) ([][]string, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var r io.Reader = f
	if filepath.Ext(path) == ".gz" {
		z, err := gzip.NewReader(f)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		defer z.Close()
		r = z
	}
	rows, err := csv.NewReader(r).ReadAll()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if len(rows) == 0 {
		return nil, fmt.Errorf("%s is empty", path)
	}
	return rows[1:], nil
}
