package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"
	"github.com/influxdata/telegraf"
	"github.com/influxdata/telegraf/plugins/inputs"
	"github.com/influxdata/telegraf/plugins/processors"
)

// plugin is what a configuration asks for: one of the two.
type plugin struct {
	input     telegraf.Input
	processor telegraf.StreamingProcessor
}

// load makes the one plugin that the configuration describes. Telegraf's shim
// would ignore a key that it does not know, and so a setting that the user
// believes in; here it is an error. $VARIABLES are replaced from the
// environment.
func load(text string) (p plugin, err error) {
	var conf struct {
		Inputs     map[string][]toml.Primitive `toml:"inputs"`
		Processors map[string][]toml.Primitive `toml:"processors"`
	}
	md, err := toml.Decode(os.Expand(text, quotedEnv), &conf)
	if err != nil {
		return p, err
	}
	if n := count(conf.Inputs) + count(conf.Processors); n != 1 {
		return p, fmt.Errorf("it has %d plugins: want exactly one [[inputs.novacron]] or [[processors.novacron]]", n)
	}
	for name, blocks := range conf.Inputs {
		create, ok := inputs.Inputs[name]
		if !ok {
			return p, fmt.Errorf("there is no [[inputs.%s]] here, only [[inputs.novacron]]", name)
		}
		p.input = create()
		err = md.PrimitiveDecode(blocks[0], p.input)
	}
	for name, blocks := range conf.Processors {
		create, ok := processors.Processors[name]
		if !ok {
			return p, fmt.Errorf("there is no [[processors.%s]] here, only [[processors.novacron]]", name)
		}
		p.processor = create()
		err = md.PrimitiveDecode(blocks[0], unwrap(p.processor))
	}
	return p, errors.Join(err, unknown(md.Undecoded()))
}

func count(m map[string][]toml.Primitive) (n int) {
	for _, blocks := range m {
		n += len(blocks)
	}
	return n
}

// unwrap returns the struct that the configuration is for.
func unwrap(p telegraf.StreamingProcessor) any {
	if w, ok := p.(processors.HasUnwrap); ok {
		return w.Unwrap()
	}
	return p
}

// unknown complains about keys that nothing reads.
func unknown(keys []toml.Key) error {
	if len(keys) == 0 {
		return nil
	}
	names := make([]string, 0, len(keys))
	for _, k := range keys {
		names = append(names, k.String())
	}
	slices.Sort(names)
	return fmt.Errorf("unknown keys %s: interval, tags and filters belong to the execd block of Telegraf", strings.Join(slices.Compact(names), ", "))
}

// quotedEnv returns a variable such that it cannot leave the string it is in.
func quotedEnv(key string) string {
	return strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(os.Getenv(key))
}
