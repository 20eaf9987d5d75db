package main

import (
	"cmp"
	"context"
	"slices"
	"strings"
)

// machine is what setup asks and changes.
type machine interface {
	root() bool
	osRelease() string
	program(name string) (path string, ok bool)
	file(pattern string) (path string, ok bool)
	run(ctx context.Context, argv []string) error
}

// installers are the commands that install packages, for a user to type.
var installers = map[family]string{
	familyDebian: "apt-get install",
	familyFedora: "dnf install",
	familySUSE:   "zypper install",
	familyArch:   "pacman -S",
}

// setup reports each tool, installs the missing ones where it can, and returns
// the status to end with.
func setup(ctx context.Context, m machine, want purpose, say func(format string, args ...any)) int {
	missing := check(m, want, say)
	if len(missing) == 0 {
		return statusReady
	}
	for _, t := range missing {
		if t.packages == nil {
			say("%s is in no distribution: %s, then run this again.", t.name, t.get)
			return statusAsk
		}
	}
	f := familyOf(m.osRelease())
	packages := packagesOf(missing, f)
	if f != familyDebian {
		advise(f, missing, packages, say)
		return statusAsk
	}
	prefix, ok := becomeRoot(m)
	if !ok {
		say("Only root may install packages, and sudo is not there. As root run: %s %s", installers[f], strings.Join(packages, " "))
		return statusAsk
	}
	if err := install(ctx, m, prefix, packages, say); err != nil {
		say("Unable to install the packages: %v", err)
		return statusFailed
	}
	say("Installed. Looking again:")
	if left := check(m, want, say); len(left) > 0 {
		say("The packages are installed, but %s is still not found.", left[0].name)
		return statusFailed
	}
	return statusReady
}

// check says of each tool whether it is there, and returns those that are not.
func check(m machine, want purpose, say func(string, ...any)) (missing []tool) {
	for _, t := range tools() {
		if t.purpose > want {
			continue
		}
		if path, ok := find(m, t); ok {
			say("found    %-24s %s", t.name, path)
			continue
		}
		say("missing  %s", t.name)
		missing = append(missing, t)
	}
	return missing
}

// find returns where a tool is.
func find(m machine, t tool) (string, bool) {
	for _, pattern := range t.files {
		if path, ok := m.file(pattern); ok {
			return path, true
		}
	}
	if t.files != nil {
		return "", false
	}
	programs := t.anyOf
	if programs == nil {
		programs = []string{t.name}
	}
	for _, name := range programs {
		if path, ok := m.program(name); ok {
			return path, true
		}
	}
	return "", false
}

// packagesOf names the packages that hold the tools, each once.
func packagesOf(missing []tool, f family) (packages []string) {
	for _, t := range missing {
		packages = append(packages, t.packages[f])
	}
	slices.Sort(packages)
	return slices.Compact(packages)
}

// advise says what to install where setup does not install.
func advise(f family, missing []tool, packages []string, say func(string, ...any)) {
	if f != familyUnknown {
		say("setup installs packages on Debian and Ubuntu only. Here run as root: %s %s", installers[f], strings.Join(packages, " "))
		say("A package that this distribution does not have comes from its maker; then run this again.")
		return
	}
	names := make([]string, len(missing))
	for i, t := range missing {
		names[i] = t.name
	}
	say("setup does not know this distribution (its os-release names neither Debian, Fedora, SUSE, Arch nor a relative).")
	say("Install what provides %s, then run this again.", strings.Join(names, ", "))
}

// becomeRoot returns what a command of root starts with.
func becomeRoot(m machine) (prefix []string, ok bool) {
	if m.root() {
		return nil, true
	}
	sudo, ok := m.program("sudo")
	return []string{sudo}, ok
}

// install installs packages. Package lists are brought up to date only when the
// packages do not install without.
func install(ctx context.Context, m machine, prefix, packages []string, say func(string, ...any)) error {
	apt := append(slices.Clone(prefix), "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "--option", "DPkg::Lock::Timeout=120")
	command := slices.Concat(apt, []string{"install", "--yes", "--no-install-recommends"}, packages)
	say("Installing %s", strings.Join(packages, " "))
	first := m.run(ctx, command)
	if first == nil || ctx.Err() != nil {
		return cmp.Or(ctx.Err(), first)
	}
	say("That failed; updating the package lists and trying again")
	if err := m.run(ctx, slices.Concat(apt, []string{"update"})); err != nil {
		return err
	}
	return m.run(ctx, command)
}
