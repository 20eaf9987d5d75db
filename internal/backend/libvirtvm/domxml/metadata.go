package domxml

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"libvirt.org/go/libvirtxml"
)

// MetadataURI is the XML name space of our element in a domain's <metadata>.
const MetadataURI = "https://github.com/novacron/terraform-provider-novacron/vm/1"

// MetadataKey is the prefix that libvirt shows for it.
const MetadataKey = "novacron"

// Metadata is what a domain remembers for us: who made it, and which of its
// devices belongs to which key of the user's.
type Metadata struct {
	XMLName xml.Name      `xml:"https://github.com/novacron/terraform-provider-novacron/vm/1 vm"`
	Owner   string        `xml:"owner,omitempty"`
	Seed    *SeedRecord   `xml:"seed"`
	Disks   []DiskRecord  `xml:"disk"`
	NICs    []NICRecord   `xml:"nic"`
	Labels  []LabelRecord `xml:"label"`
	Drops   []DropRecord  `xml:"drop"`
}

// DropRecord is a volume that the VM owned and that is still to be deleted.
type DropRecord struct {
	Volume string `xml:"volume,attr"`
}

// Owned returns the ids of the volumes that are made and deleted with the VM.
func (m *Metadata) Owned() []string {
	var ids []string
	if m.Seed != nil {
		ids = append(ids, m.Seed.Volume)
	}
	for _, r := range m.Disks {
		if r.Owned {
			ids = append(ids, r.Volume)
		}
	}
	return ids
}

// Dropped returns the ids of the volumes that are still to be deleted.
func (m *Metadata) Dropped() []string {
	var ids []string
	for _, r := range m.Drops {
		ids = append(ids, r.Volume)
	}
	return ids
}

// drop notes the volumes, except those that the VM owns, as to be deleted.
func (m *Metadata) drop(ids []string) {
	owned := m.Owned()
	for _, id := range ids {
		if r := (DropRecord{id}); !slices.Contains(owned, id) && !slices.Contains(m.Drops, r) {
			m.Drops = append(m.Drops, r)
		}
	}
}

// SeedRecord is the cloud-init seed that the domain's last volume holds.
type SeedRecord struct {
	Digest string `xml:"digest,attr"`
	Volume string `xml:"volume,attr"` // volume id
	Target string `xml:"target,attr"` // device name
}

// DiskRecord ties a disk to its key.
type DiskRecord struct {
	Key     string `xml:"key,attr"`
	Target  string `xml:"target,attr"` // device name, fixed for as long as the key exists
	Volume  string `xml:"volume,attr"` // volume id
	Path    string `xml:"path,attr"`   // of the volume: another one in the domain was put there by hand
	Owned   bool   `xml:"owned,attr,omitempty"`
	Backing string `xml:"backing,attr,omitempty"` // volume id that an owned disk is an overlay of
}

// NICRecord ties an interface to its key.
type NICRecord struct {
	Key     string          `xml:"key,attr"`
	MAC     string          `xml:"mac,attr"`
	Ref     string          `xml:"ref,attr,omitempty"`     // how the user names the network: by name or UUID
	Network string          `xml:"network,attr,omitempty"` // its name
	Forward []ForwardRecord `xml:"forward"`
}

// ForwardRecord is one forwarded port of user networking.
type ForwardRecord struct {
	Host  uint16 `xml:"host,attr"`
	Guest uint16 `xml:"guest,attr"`
}

// LabelRecord is one label.
type LabelRecord struct {
	Key   string `xml:"key,attr"`
	Value string `xml:"value,attr"`
}

// Marshal returns the element.
func (m Metadata) Marshal() (string, error) {
	b, err := xml.Marshal(m)
	return string(b), err
}

func labelRecords(labels map[string]string) []LabelRecord {
	var out []LabelRecord
	for _, key := range slices.Sorted(maps.Keys(labels)) {
		out = append(out, LabelRecord{Key: key, Value: labels[key]})
	}
	return out
}

// disk returns the record of the key, or nil.
func (m *Metadata) disk(key string) *DiskRecord {
	for i := range m.Disks {
		if m.Disks[i].Key == key {
			return &m.Disks[i]
		}
	}
	return nil
}

// nic returns the record of the key, or nil.
func (m *Metadata) nic(key string) *NICRecord {
	for i := range m.NICs {
		if m.NICs[i].Key == key {
			return &m.NICs[i]
		}
	}
	return nil
}

// splitMetadata takes the content of <metadata> apart into our element and the
// rest, which is kept byte for byte. ours is nil when there is none.
func splitMetadata(inner string) (ours *Metadata, rest string, err error) {
	d := xml.NewDecoder(strings.NewReader(inner))
	var keep strings.Builder
	for {
		start := d.InputOffset()
		t, err := d.Token()
		if errors.Is(err, io.EOF) {
			return ours, strings.TrimSpace(keep.String()), nil
		}
		if err != nil {
			return nil, "", fmt.Errorf("metadata of the domain: %w", err)
		}
		el, ok := t.(xml.StartElement)
		if !ok {
			keep.WriteString(inner[start:d.InputOffset()])
			continue
		}
		if el.Name.Space == MetadataURI && el.Name.Local == "vm" {
			m := Metadata{}
			if err := d.DecodeElement(&m, &el); err != nil {
				return nil, "", fmt.Errorf("our own metadata of the domain: %w", err)
			}
			ours = &m
			continue
		}
		if err := d.Skip(); err != nil {
			return nil, "", fmt.Errorf("metadata of the domain: %w", err)
		}
		keep.WriteString(inner[start:d.InputOffset()])
	}
}

// OwnMetadata returns our element in the definition as it is now, or "" when
// there is none.
func (p *Parsed) OwnMetadata() (string, error) {
	ours, _, err := splitMetadata(metadataOf(p.Domain))
	if err != nil || ours == nil {
		return "", err
	}
	return ours.Marshal()
}

// Drop notes in the definition that the volumes are still to be deleted.
func (p *Parsed) Drop(ids []string) error {
	ours, rest, err := splitMetadata(metadataOf(p.Domain))
	if err != nil || ours == nil {
		return err
	}
	ours.drop(ids)
	text, err := ours.Marshal()
	if err != nil {
		return err
	}
	p.Domain.Metadata = &libvirtxml.DomainMetadata{XML: strings.TrimSpace(rest + "\n" + text)}
	return nil
}
