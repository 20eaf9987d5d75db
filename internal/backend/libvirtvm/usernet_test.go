package libvirtvm

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

const usernet = `Hub -1 (hostnet0):
  Protocol[State]    FD  Source Address  Port   Dest. Address  Port RecvQ SendQ
  TCP[SYN_SENT]      17       127.0.0.1 18123       10.0.2.15    80     0     0
  TCP[ESTABLISHED]   19       127.0.0.1 18123       10.0.2.15    80     0     0
  TCP[HOST_FORWARD]  16       127.0.0.1 18123       10.0.2.15    80     0     0
  UDP[236 sec]       18       10.0.2.15 45678     192.0.2.53    53     0     0
Hub -1 (hostnet1):
  Protocol[State]    FD  Source Address  Port   Dest. Address  Port RecvQ SendQ
  TCP[HOST_FORWARD]  20       127.0.0.1  2222       10.0.2.15    22     0     0
`

func TestParseFlows(t *testing.T) {
	got := parseFlows(usernet)
	want := map[string][]flow{
		"hostnet0": {{"SYN_SENT", 18123, 80}, {"ESTABLISHED", 18123, 80}, {"HOST_FORWARD", 18123, 80}},
		"hostnet1": {{"HOST_FORWARD", 2222, 22}},
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(flow{})); diff != "" {
		t.Errorf("parseFlows (-want +got):\n%s", diff)
	}
	for port, want := range map[uint16]string{18123: "ESTABLISHED", 2222: "closed", 1: "closed"} {
		if state := flowState(got, port); state != want {
			t.Errorf("flowState(%d) = %q, want %q: a listener alone proves nothing", port, state, want)
		}
	}
}

func FuzzParseFlows(f *testing.F) {
	f.Add(usernet)
	f.Fuzz(func(t *testing.T, out string) { parseFlows(out) })
}
