package archtest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Sizes above which a file or function is named in the report. They are no
// failure: some are long for a reason that its author can say.
const (
	longFile     = 400
	longFunction = 60
)

func TestEveryRoomSaysWhatIsInIt(t *testing.T) {
	said := map[string]string{}
	for _, file := range sources(t) {
		f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(root, file), nil, parser.PackageClauseOnly|parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		room := path.Dir(file)
		if _, known := said[room]; !known {
			said[room] = ""
		}
		if f.Doc != nil && !strings.HasSuffix(file, "_test.go") {
			said[room] += f.Doc.Text()
		}
	}
	for room, doc := range said {
		sentence, _, found := strings.Cut(doc, ".")
		switch {
		case onlyTests(t, room):
		case doc == "":
			t.Errorf("room %s has no doc comment", room)
		case !found && !strings.Contains(doc, ":"):
			t.Errorf("room %s: %q is no sentence", room, sentence)
		case !strings.HasPrefix(doc, "Package ") && !strings.HasPrefix(doc, "Command "):
			t.Errorf("room %s: its doc starts with %.20q, want Package or Command", room, doc)
		}
	}
}

// onlyTests reports whether the directory has no code but tests.
func onlyTests(t *testing.T, room string) bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(root, room, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	return !slices.ContainsFunc(files, func(f string) bool { return !strings.HasSuffix(f, "_test.go") })
}

func TestNoRoomIsALumberRoom(t *testing.T) {
	for _, file := range sources(t) {
		for _, part := range strings.Split(strings.TrimSuffix(file, ".go"), "/") {
			switch part {
			case "util", "utils", "common", "helper", "helpers", "types", "misc":
				t.Errorf("%s: %q says nothing about what is in it", file, part)
			}
		}
	}
}

func TestReportSizes(t *testing.T) {
	for _, file := range sources(t) {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		text, err := os.ReadFile(filepath.Join(root, file))
		if err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(string(text), "\n"); n > longFile {
			t.Logf("%s has %d lines", file, n)
		}
		set := token.NewFileSet()
		f, err := parser.ParseFile(set, file, text, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok || fn.Body == nil || strings.Contains(strings.ToLower(fn.Name.Name), "schema") {
				continue
			}
			if n := set.Position(fn.End()).Line - set.Position(fn.Pos()).Line + 1; n > longFunction {
				t.Logf("%s: %s has %d lines", file, fn.Name.Name, n)
			}
		}
	}
}

func TestInitIsTelegrafsOnly(t *testing.T) {
	for _, file := range sources(t) {
		f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(root, file), nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if ok && fn.Recv == nil && fn.Name.Name == "init" && !strings.HasPrefix(file, "plugins/inputs/") && !strings.HasPrefix(file, "plugins/processors/") && !strings.HasPrefix(file, "plugins/outputs/") {
				t.Errorf("%s: func init: only the line that Telegraf asks for may be one", file)
			}
		}
	}
}
