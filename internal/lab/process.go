//go:build linux

package lab

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
)

// process identifies a process for good: process IDs are used again, the time
// of a start is not.
type process struct {
	PID   int
	Start uint64 // in clock ticks since the boot of the machine

	MountNS string // of a keeper, as it wrote it down
}

// identify returns the identity of the process that has the ID now.
func identify(pid int) (process, error) {
	s, err := readStat(pid)
	return process{PID: pid, Start: s.start}, err
}

// alive reports whether the process still runs.
func (p process) alive() bool {
	s, err := readStat(p.PID)
	return err == nil && p.PID > 0 && s.start == p.Start && s.state != 'Z' && s.state != 'X'
}

// readKeeper reads the identity of a host's keeper.
func readKeeper(dir string) (p process, err error) {
	b, err := os.ReadFile(filepath.Join(dir, keeperFile))
	if err != nil {
		return p, err
	}
	return p, json.Unmarshal(b, &p)
}

// stat is the part of /proc/PID/stat that matters here.
type stat struct {
	state  byte
	parent int
	start  uint64
}

func readStat(pid int) (stat, error) {
	b, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return stat{}, err
	}
	return parseStat(b)
}

// parseStat reads a line of /proc/PID/stat. The name of the program, in
// parentheses, may itself hold spaces and parentheses.
func parseStat(line []byte) (s stat, err error) {
	i := bytes.LastIndexByte(line, ')')
	if i < 0 {
		return s, errors.New("parse /proc/PID/stat: no program name")
	}
	f := bytes.Fields(line[i+1:])
	if len(f) < 20 || len(f[0]) != 1 {
		return s, fmt.Errorf("parse /proc/PID/stat: %d fields after the program name, want 20 or more", len(f))
	}
	s.state = f[0][0]
	if s.parent, err = strconv.Atoi(string(f[1])); err != nil {
		return s, fmt.Errorf("parse /proc/PID/stat: parent: %w", err)
	}
	if s.start, err = strconv.ParseUint(string(f[19]), 10, 64); err != nil {
		return s, fmt.Errorf("parse /proc/PID/stat: start time: %w", err)
	}
	return s, nil
}

// descendants returns the running processes below pid, in no order.
func descendants(pid int) ([]int, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	children := map[int][]int{}
	for _, e := range entries {
		id, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if s, err := readStat(id); err == nil && s.state != 'Z' {
			children[s.parent] = append(children[s.parent], id)
		}
	}
	var below []int
	for next := children[pid]; len(next) > 0; {
		id := next[0]
		below = append(below, id)
		next = append(next[1:], children[id]...)
	}
	return below, nil
}
