package analytics

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"hash/crc64"
	"io"

	"github.com/novacron/terraform-provider-novacron/internal/analytics/anomaly"
	"github.com/novacron/terraform-provider-novacron/internal/fault"
	"github.com/novacron/terraform-provider-novacron/internal/sample"
)

// A saved state is
//
//	magic, stateHead, method (string), the series from the longest idle on, CRC-64 of all before
//
// and a series is its key (string), seriesHead, and the detector's bytes
// (string). A string is its length (uint32) and its bytes; all numbers are
// little endian. Rules and options are not saved.
const (
	stateMagic   = "novacron analytics state\n"
	stateVersion = 1
	stateLimit   = 4 << 30 // no honest state is larger
	stringLimit  = 1 << 20
)

type stateHead struct {
	Version uint32
	Series  uint32
	Now     int64
	Health  int64
	Counts  [8]uint64
}

type seriesHead struct {
	Last, Interval, Sent int64
	State                anomaly.State
	Alarmed              bool
}

// Save writes the state of all series to w, from which Load takes it back. The
// engine may go on afterwards.
func (e *Engine) Save(w io.Writer) error {
	sum := crc64.New(crc64.MakeTable(crc64.ECMA))
	buf := bufio.NewWriterSize(io.MultiWriter(w, sum), 64<<10)
	s := &e.stats
	b := append([]byte(nil), stateMagic...)
	b, err := binary.Append(b, binary.LittleEndian, &stateHead{
		Version: stateVersion, Series: uint32(len(e.series)), Now: e.clock.now, Health: e.health,
		Counts: [8]uint64{s.Samples, s.Points, s.Alarms, s.Late, s.Duplicates, s.Invalid, s.Evicted},
	})
	if err != nil {
		return err
	}
	b = appendString(b, []byte(e.o.Method))
	for one := e.order.oldest(); one != nil; one = e.order.next(one) {
		if _, err := buf.Write(b); err != nil {
			return err
		}
		if b, err = one.append(b[:0]); err != nil {
			return err
		}
	}
	if _, err := buf.Write(b); err != nil {
		return err
	}
	if err := buf.Flush(); err != nil {
		return err
	}
	_, err = w.Write(binary.LittleEndian.AppendUint64(nil, sum.Sum64()))
	return err
}

func (s *series) append(b []byte) ([]byte, error) {
	b = appendString(b, []byte(s.key))
	b, err := binary.Append(b, binary.LittleEndian, &seriesHead{s.last, s.interval, s.sent, s.state, s.alarmed})
	if err != nil {
		return nil, err
	}
	d, err := s.detector.Append(nil)
	if err != nil {
		return nil, err
	}
	return appendString(b, d), nil
}

func appendString(b, s []byte) []byte {
	return append(binary.LittleEndian.AppendUint32(b, uint32(len(s))), s...)
}

// Load replaces the state by one that Save wrote. Series that no rule chooses
// any more are left out; where there are more than MaxSeries, the longest idle
// are evicted. Anything that Save did not write, whole and unharmed, is
// fault.Invalid and leaves the engine as it was.
func (e *Engine) Load(r io.Reader) error {
	all, err := io.ReadAll(io.LimitReader(r, stateLimit))
	if err != nil {
		return err
	}
	body, err := verified(all)
	if err != nil {
		return err
	}
	var head stateHead
	in := &decoder{b: body}
	in.read(&head)
	if in.failed || head.Version != stateVersion {
		return fault.Errorf(fault.Invalid, "analytics state has version %d: this program reads %d", head.Version, stateVersion)
	}
	if m := string(in.string()); m != string(e.o.Method) {
		return fault.Errorf(fault.Invalid, "analytics state is of the method %q: %q is in use", m, e.o.Method)
	}
	next, err := New(e.o)
	if err != nil {
		return err
	}
	for i := range head.Series {
		if err := next.load(in); err != nil {
			return fault.As(fault.Invalid, err)
		}
		if in.failed {
			return fault.Errorf(fault.Invalid, "analytics state ends in series %d of %d", i+1, head.Series)
		}
	}
	if len(in.b) != 0 {
		return fault.Errorf(fault.Invalid, "analytics state has %d bytes too many", len(in.b))
	}
	next.clock.now, next.health = head.Now, head.Health
	c, s := head.Counts, &next.stats
	s.Samples, s.Points, s.Alarms, s.Late, s.Duplicates, s.Invalid = c[0], c[1], c[2], c[3], c[4], c[5]
	s.Evicted += c[6]
	*e = *next
	return nil
}

// load takes the next series from in.
func (e *Engine) load(in *decoder) error {
	key := string(in.string())
	var head seriesHead
	in.read(&head)
	bytes := in.string()
	if in.failed {
		return nil // the caller says so
	}
	measurement, tags, field := parts(key)
	s := sample.Sample{Name: measurement, Tags: tags}
	if string(s.AppendKey(nil, field)) != key || head.State > anomaly.Missing || e.series[key] != nil {
		return fault.Errorf(fault.Invalid, "analytics state: the series %q is not sound", key)
	}
	rule := e.book.find(measurement, field)
	if rule == nil {
		return nil
	}
	d := e.newDetector()
	if err := d.Restore(bytes); err != nil {
		return err
	}
	one := e.admit(key, rule)
	e.count(one.state, -1)
	one.detector, one.state, one.alarmed = d, head.State, head.Alarmed
	one.last, one.interval, one.sent = head.Last, head.Interval, head.Sent
	e.count(one.state, 1)
	return nil
}

// verified returns what is between the magic and the checksum.
func verified(all []byte) ([]byte, error) {
	body, ok := bytes.CutPrefix(all, []byte(stateMagic))
	if !ok {
		return nil, fault.Errorf(fault.Invalid, "not an analytics state: it does not begin as one")
	}
	if len(body) < 8 {
		return nil, fault.Errorf(fault.Invalid, "analytics state is cut off after %d bytes", len(all))
	}
	end := len(all) - 8
	want := binary.LittleEndian.Uint64(all[end:])
	if got := crc64.Checksum(all[:end], crc64.MakeTable(crc64.ECMA)); got != want {
		return nil, fault.Errorf(fault.Invalid, "analytics state is damaged: its checksum is %016x, it says %016x", got, want)
	}
	return body[:len(body)-8], nil
}

// decoder takes values off b; failed is set when they are not there.
type decoder struct {
	b      []byte
	failed bool
}

func (d *decoder) read(v any) {
	n := binary.Size(v)
	if d.failed || len(d.b) < n {
		d.failed = true
		return
	}
	if _, err := binary.Decode(d.b[:n], binary.LittleEndian, v); err != nil {
		d.failed = true
	}
	d.b = d.b[n:]
}

func (d *decoder) string() []byte {
	var n uint32
	d.read(&n)
	if d.failed || n > stringLimit || len(d.b) < int(n) {
		d.failed = true
		return nil
	}
	s := d.b[:n]
	d.b = d.b[n:]
	return s
}
