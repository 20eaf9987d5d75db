package kvmprobe

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

func TestProbeGivesAReasonWithinThreeSeconds(t *testing.T) {
	start := time.Now()
	r := Probe(t.Context())
	if took := time.Since(start); took > 3*time.Second {
		t.Errorf("Probe took %v, want less than 3s", took)
	}
	if !strings.HasSuffix(r.Reason, ".") || len(r.Reason) < 20 {
		t.Errorf("Probe = %+v, want a reason that is a sentence", r)
	}
	t.Logf("%+v", r)
}

func TestProbeRefusesWhatIsNotKVM(t *testing.T) {
	plain := filepath.Join(t.TempDir(), "kvm")
	if err := os.WriteFile(plain, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	cases := []struct{ name, path, want string }{
		{"no device", filepath.Join(t.TempDir(), "none"), "no "},
		{"a plain file in its place", plain, "KVM_GET_API_VERSION"},
		{"another device in its place", "/dev/null", "KVM_GET_API_VERSION"},
	}
	if runtime.GOARCH != "amd64" {
		cases = cases[:1]
	}
	for _, c := range cases {
		if r := probe(t.Context(), c.path, limit); r.Usable || !strings.Contains(r.Reason, c.want) {
			t.Errorf("%s: probe(%s) = %+v, want not usable and a reason with %q", c.name, c.path, r, c.want)
		}
	}
}

func TestProbeStopsWhenTheCallerGivesUp(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if r := Probe(ctx); r.Usable {
		t.Errorf("Probe with a canceled context = %+v, want not usable", r)
	}
}
