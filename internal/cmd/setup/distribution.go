package main

import (
	"strings"
)

// family is a group of distributions with the same package names.
type family string

// The families that setup knows the packages of.
const (
	familyUnknown family = ""
	familyDebian  family = "debian"
	familyFedora  family = "fedora"
	familySUSE    family = "suse"
	familyArch    family = "arch"
)

// familyOf reads the family from the content of os-release(5): from the
// distribution's own name, or from those that it says it is like.
func familyOf(osRelease string) family {
	values := parseOSRelease(osRelease)
	for id := range strings.FieldsSeq(strings.ToLower(values["ID"] + " " + values["ID_LIKE"])) {
		switch {
		case id == "debian", id == "ubuntu":
			return familyDebian
		case id == "fedora", id == "rhel", id == "centos":
			return familyFedora
		case id == "suse", id == "sles", strings.HasPrefix(id, "opensuse"):
			return familySUSE
		case id == "arch":
			return familyArch
		}
	}
	return familyUnknown
}

// parseOSRelease reads the assignments of an os-release file. The file may be
// sourced by a shell: values may be quoted, and quoted ones may hold escaped
// characters. Lines that are no assignments mean nothing.
func parseOSRelease(content string) map[string]string {
	values := map[string]string{}
	for line := range strings.Lines(content) {
		name, value, ok := strings.Cut(strings.TrimSpace(line), "=")
		if !ok || name == "" || strings.HasPrefix(name, "#") {
			continue
		}
		values[name] = unquote(value)
	}
	return values
}

// unquote takes the quotes of a shell away.
func unquote(s string) string {
	if len(s) < 2 || s[0] != s[len(s)-1] || (s[0] != '"' && s[0] != '\'') {
		return s
	}
	inner := s[1 : len(s)-1]
	if s[0] == '\'' {
		return inner
	}
	var b strings.Builder
	for i := 0; i < len(inner); i++ {
		if inner[i] == '\\' && i+1 < len(inner) && strings.IndexByte("\"\\$`", inner[i+1]) >= 0 {
			i++
		}
		b.WriteByte(inner[i])
	}
	return b.String()
}
