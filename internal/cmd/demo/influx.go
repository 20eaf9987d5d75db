//go:build linux

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// influxConf is an InfluxDB 1.x of its own: on loopback, telling nobody.
const influxConf = `reporting-disabled = true
bind-address = "127.0.0.1:%[2]d"
[meta]
  dir = %[1]q
[data]
  dir = %[3]q
  wal-dir = %[4]q
  index-version = "tsi1"
  query-log-enabled = false
[http]
  bind-address = "127.0.0.1:%[5]d"
  log-enabled = false
[monitor]
  store-enabled = false
[subscriber]
  enabled = false
`

// telegrafConf is the pipeline: libvirt -> metrics -> verdicts -> InfluxDB.
const telegrafConf = `[agent]
  interval = "1s"
  flush_interval = "1s"
  round_interval = true
  omit_hostname = true
  skip_processors_after_aggregators = true
[[inputs.novacron]]
  uris = [%q]
[[processors.novacron]]
  state_file = %q
[[outputs.influxdb]]
  urls = ["http://127.0.0.1:%d"]
  database = "novacron"
`

// influx is the database of the demonstration.
type influx struct{ port int }

// startPipeline starts InfluxDB and Telegraf.
func (d *demo) startPipeline(ctx context.Context) error {
	ports, err := freePorts(2)
	if err != nil {
		return err
	}
	d.db = influx{ports[0]}
	data := filepath.Join(d.dir, "influxdb")
	conf := filepath.Join(d.dir, "influxdb.conf")
	text := fmt.Sprintf(influxConf, filepath.Join(data, "meta"), ports[1], filepath.Join(data, "data"), filepath.Join(data, "wal"), ports[0])
	if err := os.WriteFile(conf, []byte(text), 0o644); err != nil {
		return err
	}
	env := []string{"HOME=" + d.dir} // influxd keeps nothing there, but will not start without
	if err := startProcess(d.pidFile("influxd"), filepath.Join(d.dir, "influxd.log"), env, "influxd", "-config", conf); err != nil {
		return err
	}
	if err := d.db.await(ctx, 30*time.Second); err != nil {
		return fmt.Errorf("InfluxDB: %w (its log is %s)", err, filepath.Join(d.dir, "influxd.log"))
	}
	conf = filepath.Join(d.dir, "telegraf.conf")
	text = fmt.Sprintf(telegrafConf, d.host.URI(), filepath.Join(d.dir, "analytics.state"), ports[0])
	if err := os.WriteFile(conf, []byte(text), 0o644); err != nil {
		return err
	}
	return startProcess(d.pidFile("telegraf"), d.telegrafLog(), nil, filepath.Join(d.bin, "telegraf"), "--config", conf)
}

func (d *demo) telegrafLog() string { return filepath.Join(d.dir, "telegraf.log") }

// freePorts returns TCP ports of the loopback that nothing listens on.
func freePorts(n int) ([]int, error) {
	var ports []int
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close()
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports, nil
}

// await waits until InfluxDB answers, and makes the database.
func (db influx) await(ctx context.Context, limit time.Duration) error {
	var err error
	for deadline := time.Now().Add(limit); time.Now().Before(deadline); {
		if _, err = db.query(ctx, "CREATE DATABASE novacron"); err == nil {
			return nil
		}
		if err := sleep(ctx, 200*time.Millisecond); err != nil {
			return err
		}
	}
	return err
}

// row is one result: values by column name.
type row map[string]any

// query runs an InfluxQL query and returns its rows.
func (db influx) query(ctx context.Context, q string) ([]row, error) {
	u := fmt.Sprintf("http://127.0.0.1:%d/query?%s", db.port, url.Values{"db": {"novacron"}, "q": {q}}.Encode())
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, u, nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	var answer struct {
		Error   string
		Results []struct {
			Error  string
			Series []struct {
				Tags    map[string]string
				Columns []string
				Values  [][]any
			}
		}
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		return nil, fmt.Errorf("InfluxDB said %s: %w", resp.Status, err)
	}
	var rows []row
	for _, r := range answer.Results {
		answer.Error += r.Error
		for _, s := range r.Series {
			for _, values := range s.Values {
				one := row{}
				for k, v := range s.Tags {
					one[k] = v
				}
				for i, c := range s.Columns {
					one[c] = values[i]
				}
				rows = append(rows, one)
			}
		}
	}
	if answer.Error != "" {
		return nil, fmt.Errorf("InfluxDB: query %q: %s", strings.TrimSpace(q), answer.Error)
	}
	return rows, nil
}

// sleep waits, or returns why not.
func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
