//go:build linux

package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// How long the parts of the show may take. Metrics come once a second.
const (
	learnLimit = 90 * time.Second
	alarmLimit = 60 * time.Second
	burnFor    = 60 // seconds
)

// show lets the analytics learn, makes one guest misbehave, waits for the
// verdict, and prints what there is.
func (d *demo) show(ctx context.Context) error {
	d.step("Learning what is usual: at least 30 samples, one a second")
	if err := d.learn(ctx); err != nil {
		return d.withLog(err)
	}
	d.step("Making %s misbehave: one vCPU burns for %d s", culprit, burnFor)
	since := time.Now()
	if _, err := get(ctx, fmt.Sprintf("%s/cgi-bin/burn?seconds=%d", d.urls[culprit], burnFor)); err != nil {
		return fmt.Errorf("make %s misbehave: %w", culprit, err)
	}
	verdict, err := d.awaitAlarm(ctx, since)
	if err != nil {
		return d.withLog(err)
	}
	d.say("Verdict after %.0f s", time.Since(since).Seconds())
	if err := d.report(ctx, verdict); err != nil {
		return err
	}
	return d.innocent(ctx)
}

// scored selects the CPU usage that the verdicts are about.
const scored = `"measurement" = 'novacron_cpu' AND "field" = 'usage_percent'`

// learn waits until the CPU usage of both VMs is out of its warm-up.
func (d *demo) learn(ctx context.Context) error {
	q := `SELECT last("state") AS "state" FROM "novacron_anomaly" WHERE ` + scored + ` GROUP BY "domain"`
	told := time.Now()
	for deadline := time.Now().Add(learnLimit); time.Now().Before(deadline); {
		rows, err := d.db.query(ctx, q)
		if err != nil {
			return err
		}
		ready := 0
		for _, r := range rows {
			if r["state"] == "normal" {
				ready++
			}
		}
		if ready >= len(d.urls) {
			return nil
		}
		if time.Since(told) > 10*time.Second {
			told = time.Now()
			d.say("%d of %d series learned", ready, len(d.urls))
		}
		if err := sleep(ctx, time.Second); err != nil {
			return err
		}
	}
	return fmt.Errorf("no VM was out of its warm-up after %s", learnLimit)
}

// awaitAlarm waits for the verdict on the culprit.
func (d *demo) awaitAlarm(ctx context.Context, since time.Time) (row, error) {
	q := fmt.Sprintf(`SELECT "value", "expected_low", "expected_high", "score", "reason" FROM "novacron_anomaly" WHERE %s AND "domain" = '%s' AND "alarm" = true AND time >= %d`,
		scored, culprit, since.UnixNano())
	for deadline := time.Now().Add(alarmLimit); time.Now().Before(deadline); {
		rows, err := d.db.query(ctx, q)
		if err != nil {
			return nil, err
		}
		if len(rows) > 0 {
			return rows[0], nil
		}
		if err := sleep(ctx, 500*time.Millisecond); err != nil {
			return nil, err
		}
	}
	return nil, fmt.Errorf("no verdict on %s within %s", culprit, alarmLimit)
}

// report prints the VMs, their last metrics, and the verdict.
func (d *demo) report(ctx context.Context, verdict row) error {
	rows, err := d.db.query(ctx, `SELECT last("usage_percent") AS "cpu" FROM "novacron_cpu" GROUP BY "domain"`)
	if err != nil {
		return err
	}
	cpu := map[any]any{}
	for _, r := range rows {
		cpu[r["domain"]] = r["cpu"]
	}
	memory, err := d.db.query(ctx, `SELECT last("rss_bytes") AS "rss" FROM "novacron_memory" GROUP BY "domain"`)
	if err != nil {
		return err
	}
	rss := map[any]any{}
	for _, r := range memory {
		rss[r["domain"]] = r["rss"]
	}
	d.step("The VMs, as InfluxDB has them")
	d.say("%-6s %-26s %12s %14s", "VM", "reach it at", "CPU usage", "memory (RSS)")
	for _, name := range slices.Sorted(maps.Keys(d.urls)) {
		d.say("%-6s %-26s %10.1f %% %10.0f MiB", name, d.urls[name], number(cpu[name]), number(rss[name])/(1<<20))
	}
	d.step("The verdict")
	d.say("%s: CPU usage %s", culprit, verdict["reason"])
	d.say("score %.2f (0.5 alarms), value %.1f %%, expected %.1f..%.1f %%", number(verdict["score"]), number(verdict["value"]), number(verdict["expected_low"]), number(verdict["expected_high"]))
	return nil
}

// innocent makes sure that nobody blamed the other VM, and says how to go on.
func (d *demo) innocent(ctx context.Context) error {
	q := fmt.Sprintf(`SELECT "reason" FROM "novacron_anomaly" WHERE %s AND "domain" = '%s' AND "alarm" = true`, scored, bystander)
	rows, err := d.db.query(ctx, q)
	if err != nil {
		return err
	}
	if len(rows) > 0 {
		return fmt.Errorf("%s was blamed too: %v", bystander, rows[0]["reason"])
	}
	d.say("%s: nothing unusual", bystander)
	d.step("It all keeps running. Look around, then remove it with: make demo-down")
	d.say("virsh -c '%s' list", d.host.URI())
	d.say("curl -s %s", d.urls[bystander])
	d.say("influx -port %d -database novacron -execute 'SELECT * FROM novacron_anomaly ORDER BY time DESC LIMIT 5'", d.db.port)
	d.say("tail -f %s", d.telegrafLog())
	return nil
}

// withLog adds the end of Telegraf's log to an error that it may explain.
func (d *demo) withLog(err error) error {
	f, ferr := os.Open(d.telegrafLog())
	if ferr != nil {
		return err
	}
	defer f.Close()
	var last []string
	for lines := bufio.NewScanner(f); lines.Scan(); {
		last = append(last, lines.Text())
		last = last[max(0, len(last)-10):]
	}
	return fmt.Errorf("%w\nThe end of %s:\n%s", err, filepath.Base(d.telegrafLog()), strings.Join(last, "\n"))
}

// get fetches a page of a guest.
func get(ctx context.Context, url string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", url, resp.Status)
	}
	return string(b), err
}

// number returns a value of a row as a number, 0 for none.
func number(v any) float64 {
	f, _ := v.(float64)
	return f
}
