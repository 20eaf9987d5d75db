package archtest

import (
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// module is ours; the plugins are a module of their own below it.
const module = "github.com/novacron/terraform-provider-novacron"

// rule says what the code of a room may import besides the standard library.
// Tests may import what they like.
type rule struct {
	room   string   // path in the repository; a trailing /... takes in what is below
	ours   []string // rooms, in the same form
	others []string // prefixes of import paths
}

const (
	goLibvirt = "github.com/digitalocean/go-libvirt"
	framework = "github.com/hashicorp/terraform-plugin-"
	telegraf  = "github.com/influxdata/telegraf"
	sys       = "golang.org/x/sys"
)

// table is the architecture. The first rule that matches a package holds.
var table = []rule{
	{"main.go", []string{"internal/provider", "internal/backend/all"}, []string{framework}},
	{"internal/spec", nil, nil},
	{"internal/fault", nil, nil},
	{"internal/sample", nil, nil},
	{"internal/kvmprobe", nil, []string{sys}},
	{"internal/archtest", nil, nil},
	{"internal/change", []string{"internal/spec", "internal/fault"}, nil},
	{"internal/cloudinit", []string{"internal/spec", "internal/fault"}, []string{"github.com/kdomanski/iso9660", "go.yaml.in/yaml"}},
	{"internal/image", []string{"internal/spec", "internal/fault"}, []string{sys}},
	{"internal/backend/driver", []string{"internal/spec", "internal/change", "internal/fault"}, nil},
	{"internal/backend", []string{"internal/backend/driver", "internal/change", "internal/spec", "internal/fault"}, []string{"github.com/cenkalti/backoff"}},
	{"internal/backend/drivertest", []string{"internal/backend", "internal/backend/driver", "internal/change", "internal/spec", "internal/fault"}, []string{"github.com/google/go-cmp"}},
	{"internal/backend/simvm", []string{"internal/backend/driver", "internal/change", "internal/spec", "internal/fault", "internal/cloudinit", "internal/image"}, []string{sys}},
	{"internal/backend/libvirtvm/domxml", []string{"internal/spec", "internal/fault"}, []string{"libvirt.org/go/libvirtxml"}},
	{"internal/backend/libvirtvm", []string{
		"internal/backend/driver", "internal/change", "internal/spec", "internal/fault", "internal/cloudinit", "internal/image",
		"internal/libvirtconn", "internal/backend/libvirtvm/domxml", "internal/kvmprobe",
	}, []string{goLibvirt, "libvirt.org/go/libvirtxml"}},
	{"internal/backend/all", []string{"internal/backend/simvm", "internal/backend/libvirtvm", "internal/fleet"}, nil},
	{"internal/fleet", []string{"internal/backend", "internal/backend/driver", "internal/spec", "internal/fault"}, nil},
	{"internal/provider/tftype", []string{"internal/spec", "internal/fault", "internal/provider/attr"}, []string{framework}},
	{"internal/provider/attr", []string{"internal/fleet", "internal/backend", "internal/change", "internal/spec", "internal/fault"}, []string{framework}},
	{"internal/provider/acctest", []string{"internal/..."}, []string{framework, "github.com/google/go-cmp", "github.com/hashicorp/go-hclog", "github.com/hashicorp/go-plugin"}},
	{"internal/provider/vm", nouns, []string{framework}},
	{"internal/provider/volume", nouns, []string{framework}},
	{"internal/provider/network", nouns, []string{framework}},
	{"internal/provider", []string{
		"internal/fleet", "internal/spec", "internal/fault", "internal/provider/attr", "internal/provider/tftype",
		"internal/provider/vm", "internal/provider/volume", "internal/provider/network",
	}, []string{framework}},
	{"internal/libvirtconn", []string{"internal/fault"}, []string{goLibvirt, sys}},
	{"internal/collect", []string{"internal/libvirtconn", "internal/sample", "internal/fault"}, []string{goLibvirt}},
	{"internal/analytics/anomaly", []string{"internal/sample", "internal/fault"}, nil},
	{"internal/analytics/detecttest", []string{"internal/analytics/anomaly", "internal/sample"}, nil},
	{"internal/analytics", []string{"internal/analytics/anomaly", "internal/sample", "internal/fault"}, nil},
	{"internal/lab/...", []string{"internal/lab/...", "internal/kvmprobe", "internal/fault"}, []string{sys, "github.com/google/uuid", "libvirt.org/go/libvirtxml"}},
	{"internal/cmd/...", []string{"internal/..."}, nil},
	{"internal/bench/...", []string{"internal/..."}, []string{goLibvirt, "libvirt.org/go/libvirtxml"}},
	{"plugins/internal/tmetric", []string{"internal/sample"}, []string{telegraf}},
	{"plugins/inputs/novacron", []string{"internal/collect", "internal/sample", "internal/fault", "plugins/internal/tmetric"}, []string{telegraf}},
	{"plugins/processors/novacron", []string{"internal/analytics/...", "internal/sample", "internal/fault", "plugins/internal/tmetric"}, []string{telegraf, sys}},
	{"plugins/cmd/...", []string{"plugins/inputs/novacron", "plugins/processors/novacron"}, []string{telegraf, "github.com/BurntSushi/toml", "github.com/influxdata/toml"}},
	{"plugins/bench", []string{"internal/...", "plugins/..."}, []string{telegraf, goLibvirt}},
}

// nouns is what the room of one resource may import: never another's room.
var nouns = []string{
	"internal/fleet", "internal/backend", "internal/change", "internal/spec", "internal/fault", "internal/provider/attr", "internal/provider/tftype",
}

func TestEveryRoomImportsOnlyWhatItMay(t *testing.T) {
	for room, imports := range rooms(t) {
		i := slices.IndexFunc(table, func(r rule) bool { return covers(r.room, room) })
		if i < 0 {
			t.Errorf("room %s is not in the table: say what it may import", room)
			continue
		}
		for _, imp := range imports {
			if !table[i].allows(room, imp) {
				t.Errorf("room %s imports %s, and the table does not allow it", room, imp)
			}
		}
	}
}

func TestTheTableForbids(t *testing.T) { // the control: allows says no where it should
	for _, c := range []struct{ room, imp string }{
		{"internal/spec", module + "/internal/fault"},
		{"internal/backend/libvirtvm", module + "/internal/backend"},
		{"internal/backend/libvirtvm", module + "/internal/backend/simvm"},
		{"internal/provider/vm", module + "/internal/provider/volume"},
		{"internal/libvirtconn", telegraf + "/config"},
		{"internal/collect", framework + "framework/diag"},
		{"plugins/inputs/novacron", framework + "framework/diag"},
	} {
		i := slices.IndexFunc(table, func(r rule) bool { return covers(r.room, c.room) })
		if i < 0 || table[i].allows(c.room, c.imp) {
			t.Errorf("the table lets %s import %s", c.room, c.imp)
		}
	}
}

// covers reports whether the pattern names the room.
func covers(pattern, room string) bool {
	if below, ok := strings.CutSuffix(pattern, "/..."); ok {
		return room == below || strings.HasPrefix(room, below+"/")
	}
	return pattern == room
}

func (r rule) allows(room, imp string) bool {
	if ours, ok := strings.CutPrefix(imp, module+"/"); ok {
		return slices.ContainsFunc(r.ours, func(p string) bool { return covers(p, ours) })
	}
	first, _, _ := strings.Cut(imp, "/")
	return !strings.Contains(first, ".") || slices.ContainsFunc(r.others, func(p string) bool { return strings.HasPrefix(imp, p) })
}

// rooms returns what the code of each directory imports, tests left out.
func rooms(t *testing.T) map[string][]string {
	t.Helper()
	imports := map[string]map[string]bool{}
	for _, file := range sources(t) {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(root, file), nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		room := path.Dir(file)
		if room == "." {
			room = file
		}
		if imports[room] == nil {
			imports[room] = map[string]bool{}
		}
		for _, s := range f.Imports {
			p, err := strconv.Unquote(s.Path.Value)
			if err != nil {
				t.Fatal(err)
			}
			imports[room][p] = true
		}
	}
	out := map[string][]string{}
	for room, set := range imports {
		out[room] = slices.Sorted(maps.Keys(set))
	}
	if len(out) < 20 {
		t.Fatalf("found only the rooms %v: looking in the wrong place", slices.Sorted(maps.Keys(out)))
	}
	return out
}

// root is the repository, seen from here.
const root = "../.."

// sources returns the Go files of both modules, by path in the repository.
func sources(t *testing.T) []string {
	t.Helper()
	var files []string
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, p)
		if err != nil {
			return err
		}
		if d.IsDir() && (strings.HasPrefix(d.Name(), ".") && rel != "." || d.Name() == "testdata" || d.Name() == "bin") {
			return fs.SkipDir
		}
		if !d.IsDir() && strings.HasSuffix(p, ".go") {
			files = append(files, filepath.ToSlash(rel))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}
