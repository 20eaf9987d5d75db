package kvmprobe

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// bootID changes with every boot of the machine.
const bootID = "/proc/sys/kernel/random/boot_id"

// Remembered is Probe, asked once for each boot of the machine and user: the
// answer is kept in a file of the user's cache directory, because a probe that
// fails takes half a second and programs such as a Terraform provider are
// started anew for every command. Where it cannot be kept, it is asked again.
func Remembered(ctx context.Context) Result {
	dir, err := os.UserCacheDir()
	if err != nil {
		return Probe(ctx)
	}
	return remembered(filepath.Join(dir, "novacron"), bootID, func() (Result, bool) {
		r := Probe(ctx)
		return r, ctx.Err() == nil // an answer that was cut short is none
	})
}

// remembered returns the answer kept in dir for this boot, or keeps a new one if
// it is final.
func remembered(dir, bootFile string, probe func() (r Result, final bool)) Result {
	boot, err := os.ReadFile(bootFile)
	if err != nil {
		r, _ := probe()
		return r
	}
	file := filepath.Join(dir, fmt.Sprintf("kvm-%d.json", os.Geteuid()))
	id := strings.TrimSpace(string(boot))
	var kept struct {
		Boot   string
		Result Result
	}
	if b, err := os.ReadFile(file); err == nil && json.Unmarshal(b, &kept) == nil && kept.Boot == id {
		return kept.Result
	}
	r, final := probe()
	if !final {
		return r
	}
	kept.Boot, kept.Result = id, r
	b, err := json.Marshal(kept)
	if err == nil && os.MkdirAll(dir, 0o700) == nil {
		keep(file, b)
	}
	return r
}

// keep replaces the file at once; failing is no error, it only costs a probe.
func keep(file string, b []byte) {
	f, err := os.CreateTemp(filepath.Dir(file), "kvm-*")
	if err != nil {
		return
	}
	defer os.Remove(f.Name()) // gone already when it was renamed
	_, err = f.Write(b)
	if cerr := f.Close(); err == nil && cerr == nil {
		_ = os.Rename(f.Name(), file)
	}
}
