// Command schema prints the schema of a built provider as terraform tells it, in
// the form that the generator of the documentation reads.
package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// The generator looks for providers of this name space only.
const (
	address   = "registry.terraform.io/novacron/novacron"
	generated = "registry.terraform.io/hashicorp/novacron"
)

func main() {
	binary := flag.String("provider", "", "the built provider, called terraform-provider-novacron")
	flag.Parse()
	out, err := schema(*binary)
	if err != nil {
		fmt.Fprintln(os.Stderr, "schema:", err)
		os.Exit(1)
	}
	os.Stdout.Write(out)
}

// schema asks terraform, in a directory of its own, for the schema of the binary.
func schema(binary string) ([]byte, error) {
	if filepath.Base(binary) != "terraform-provider-novacron" {
		return nil, fmt.Errorf("-provider %q is not the path of a terraform-provider-novacron", binary)
	}
	binary, err := filepath.Abs(binary)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "novacron-schema-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	for name, text := range map[string]string{
		"main.tf": "terraform {\n  required_providers {\n    novacron = { source = \"novacron/novacron\" }\n  }\n}\nprovider \"novacron\" {}\n",
		"cli.rc":  fmt.Sprintf("provider_installation {\n  dev_overrides { \"novacron/novacron\" = %q }\n  direct {}\n}\n", filepath.Dir(binary)),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			return nil, err
		}
	}
	cmd := exec.Command("terraform", "providers", "schema", "-json")
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "TF_CLI_CONFIG_FILE="+filepath.Join(dir, "cli.rc"))
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("terraform providers schema: %w\n%s", err, &stderr)
	}
	return bytes.ReplaceAll(out, []byte(address), []byte(generated)), nil
}
