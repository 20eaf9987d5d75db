package novacron

import (
	"strconv"
	"strings"

	"github.com/novacron/terraform-provider-novacron/internal/fault"
)

// Number is a float64 that may be written without a point: TOML takes 100 for
// an integer, and an integer for no float.
type Number float64

// UnmarshalTOML takes a TOML integer or float.
func (n *Number) UnmarshalTOML(b []byte) error {
	x, err := strconv.ParseFloat(strings.ReplaceAll(string(b), "_", ""), 64)
	if err != nil {
		return fault.Errorf(fault.Invalid, "%s is not a number", b)
	}
	*n = Number(x)
	return nil
}
