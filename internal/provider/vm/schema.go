package vm

import (
	"regexp"

	"github.com/hashicorp/terraform-plugin-framework-validators/int64validator"
	"github.com/hashicorp/terraform-plugin-framework-validators/listvalidator"
	"github.com/hashicorp/terraform-plugin-framework-validators/mapvalidator"
	"github.com/hashicorp/terraform-plugin-framework-validators/stringvalidator"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/booldefault"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/stringdefault"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/novacron/terraform-provider-novacron/internal/provider/attr"
	"github.com/novacron/terraform-provider-novacron/internal/provider/tftype"
)

var portNumber = regexp.MustCompile(`^([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])$`)

// notEmpty refuses "": what is not wanted is left out.
func notEmpty() []validator.String {
	return []validator.String{stringvalidator.LengthAtLeast(1)}
}

func vmSchema() schema.Schema {
	s := schema.Schema{
		MarkdownDescription: "A virtual machine.\n\n" +
			"What a change does to the guest is said with each attribute: **none** (the guest cannot tell), **live** (it sees it and keeps running), " +
			"**reboot** (it is shut down and started once; for a VM that is off this is none), **replace** (it is destroyed and made anew). " +
			"The plan shows it in `last_disruption`, and `update_policy` limits it.",
		Attributes: map[string]schema.Attribute{},
	}
	for _, part := range []map[string]schema.Attribute{
		attr.PlaceAttributes("VM"), identityAttributes(), hardwareAttributes(), guestAttributes(), policyAttributes(), statusAttributes(),
	} {
		for name, a := range part {
			s.Attributes[name] = a
		}
	}
	return s
}

func identityAttributes() map[string]schema.Attribute {
	return map[string]schema.Attribute{
		"id": schema.StringAttribute{
			Computed:            true,
			MarkdownDescription: "UUID of the VM. Known in the plan for what this configuration makes.",
		},
		"name": schema.StringAttribute{
			Required:            true,
			MarkdownDescription: "Name, unique on its target: up to 63 letters, digits, `.`, `_` and `-`. Change: replace.",
		},
		"description": schema.StringAttribute{
			Optional:            true,
			Computed:            true,
			Default:             stringdefault.StaticString(""),
			MarkdownDescription: "Free text kept with the VM. Default: empty. Change: none.",
		},
		"labels": schema.MapAttribute{
			Optional:            true,
			ElementType:         types.StringType,
			MarkdownDescription: "Words kept with the VM, by key. Default: not managed; `{}` means none. Change: none.",
		},
	}
}

func hardwareAttributes() map[string]schema.Attribute {
	return map[string]schema.Attribute{
		"cpus": schema.Int64Attribute{
			Required:            true,
			MarkdownDescription: "Number of virtual CPUs. Change: reboot.",
		},
		"memory": schema.StringAttribute{
			Required:            true,
			CustomType:          tftype.SizeType{},
			MarkdownDescription: "Memory, with a unit: `512MiB`, `4GiB`. Change: reboot.",
		},
		"kernel": schema.StringAttribute{
			Optional:            true,
			Validators:          notEmpty(),
			MarkdownDescription: "Kernel that is booted directly: an absolute path on the host. Default: none, the VM boots from its disks. Change: reboot.",
		},
		"initrd": schema.StringAttribute{
			Optional:            true,
			Validators:          append(notEmpty(), stringvalidator.AlsoRequires(path.MatchRoot("kernel"))),
			MarkdownDescription: "Initial RAM disk for `kernel`: an absolute path on the host. Default: none. Change: reboot.",
		},
		"cmdline": schema.StringAttribute{
			Optional:            true,
			Validators:          append(notEmpty(), stringvalidator.AlsoRequires(path.MatchRoot("kernel"))),
			MarkdownDescription: "Command line for `kernel`. Default: empty. Change: reboot.",
		},
		"disks": schema.MapNestedAttribute{
			Optional: true,
			MarkdownDescription: "Disks by keys of your choice (up to 20 lower-case letters, digits, `_` and `-`), tied to the key for good: adding one never moves another. " +
				"The VM tries to boot from `root` first, then from the others in alphabetical order. A disk is either an existing `volume`, or made, kept and deleted with the VM (`size`, `backing`). " +
				"Default: not managed; `{}` means none. Adding, removing and exchanging one: reboot; a disk of the VM's own that is removed or exchanged is deleted, and the plan warns of it.",
			NestedObject: schema.NestedAttributeObject{Attributes: diskAttributes()},
		},
		"nics": schema.MapNestedAttribute{
			Optional: true,
			MarkdownDescription: "Network interfaces by keys of your choice (up to 20 lower-case letters, digits, `_` and `-`), tied to the key for good. " +
				"Default: not managed; `{}` means none. Adding and removing one: reboot.",
			NestedObject: schema.NestedAttributeObject{Attributes: nicAttributes()},
		},
	}
}

func diskAttributes() map[string]schema.Attribute {
	return map[string]schema.Attribute{
		"volume": schema.StringAttribute{
			Optional:            true,
			Validators:          notEmpty(),
			MarkdownDescription: "Id of an existing volume, `pool/name`; the VM uses it and never deletes it. Default: none, the disk is the VM's own. Change: reboot.",
		},
		"size": schema.StringAttribute{
			Optional:            true,
			Computed:            true,
			CustomType:          tftype.SizeType{},
			MarkdownDescription: "Size of a disk of the VM's own, with a unit: `20GiB`. Default: as large as `backing`. Growing: live. Shrinking is refused.",
		},
		"backing": schema.StringAttribute{
			Optional:            true,
			Validators:          notEmpty(),
			MarkdownDescription: "Id of the volume that a disk of the VM's own is an overlay of, `pool/name`. Default: none, the disk is empty. Change: reboot, with a new disk.",
		},
		"pool": schema.StringAttribute{
			Optional:            true,
			Computed:            true,
			Validators:          notEmpty(),
			MarkdownDescription: "Storage pool of a disk of the VM's own. Default: the target's. Change: reboot, with a new disk.",
		},
		"bus": schema.StringAttribute{
			Optional:            true,
			Computed:            true,
			MarkdownDescription: "`virtio`, `sata` or `scsi`. Default: the platform's best, `virtio` on KVM. Change: reboot.",
		},
		"read_only": schema.BoolAttribute{
			Optional:            true,
			Computed:            true,
			Default:             booldefault.StaticBool(false),
			MarkdownDescription: "Whether the guest may only read. Default: false. Change: reboot.",
		},
	}
}

func nicAttributes() map[string]schema.Attribute {
	return map[string]schema.Attribute{
		"network": schema.StringAttribute{
			Optional:            true,
			Validators:          notEmpty(),
			MarkdownDescription: "Network that it is on, by name or id. Default: user networking, which reaches out and is reached through `forward` only. Change: reboot.",
		},
		"mac": schema.StringAttribute{
			Optional:            true,
			Computed:            true,
			MarkdownDescription: "MAC address, in lower case. Default: derived from the VM's id and the key, so it never changes. Change: reboot.",
		},
		"model": schema.StringAttribute{
			Optional:            true,
			Computed:            true,
			Validators:          notEmpty(),
			MarkdownDescription: "Model of the device. Default: `virtio`. Change: reboot.",
		},
		"forward": schema.MapAttribute{
			Optional:    true,
			ElementType: types.Int64Type,
			Validators: []validator.Map{
				mapvalidator.KeysAre(stringvalidator.RegexMatches(portNumber, "the key is a TCP port of the host: a number from 1 to 65535")),
				mapvalidator.ValueInt64sAre(int64validator.Between(1, 65535)),
			},
			MarkdownDescription: "User networking only: TCP ports of the host's loopback address that lead to ports of the guest, `{ 2222 = 22 }`. Default: none. Change: live.",
		},
	}
}

func guestAttributes() map[string]schema.Attribute {
	return map[string]schema.Attribute{
		"ssh_keys": schema.ListAttribute{
			Optional:            true,
			ElementType:         types.StringType,
			Validators:          []validator.List{listvalidator.ValueStringsAre(stringvalidator.LengthAtLeast(1))},
			MarkdownDescription: "Public keys that cloud-init authorises for the guest's default user. Default: none. Change: reboot.",
		},
		"cloud_init": schema.SingleNestedAttribute{
			Optional: true,
			MarkdownDescription: "What the guest's cloud-init reads from its seed, a small read-only disk that the VM owns. Default: no seed, unless `ssh_keys` needs one. Change: reboot. " +
				"An imported VM keeps the seed that it has as long as the configuration describes the same.",
			Attributes: map[string]schema.Attribute{
				"user_data": schema.StringAttribute{
					Optional:            true,
					Validators:          append(notEmpty(), stringvalidator.ConflictsWith(path.MatchRelative().AtParent().AtName("user_data_wo"))),
					MarkdownDescription: "User data as cloud-init reads it, such as a `#cloud-config` document. Kept in the state: put secrets into `user_data_wo`. Default: none. Change: reboot.",
				},
				"user_data_wo": schema.StringAttribute{
					Optional:  true,
					Sensitive: true,
					WriteOnly: true,
					Validators: append(notEmpty(),
						stringvalidator.AlsoRequires(path.MatchRelative().AtParent().AtName("user_data_wo_version"))),
					MarkdownDescription: "The same as `user_data`, never kept in a plan or in the state. It is applied when `user_data_wo_version` changes. Default: none.",
				},
				"user_data_wo_version": schema.Int64Attribute{
					Optional:            true,
					Validators:          []validator.Int64{int64validator.AtLeast(1), int64validator.AlsoRequires(path.MatchRelative().AtParent().AtName("user_data_wo"))},
					MarkdownDescription: "Number to change whenever `user_data_wo` is to be applied again. Required with it. Change: reboot.",
				},
				"network_config": schema.StringAttribute{
					Optional:            true,
					Validators:          notEmpty(),
					MarkdownDescription: "Network configuration, version 1 or 2. Default: none, cloud-init uses DHCP. Change: reboot.",
				},
				"vendor_data": schema.StringAttribute{
					Optional:            true,
					Validators:          notEmpty(),
					MarkdownDescription: "Vendor data: defaults that user data overrides. Default: none. Change: reboot.",
				},
			},
		},
		"power_state": schema.StringAttribute{
			Optional:            true,
			Computed:            true,
			Default:             stringdefault.StaticString("running"),
			MarkdownDescription: "`running` or `stopped`. Default: `running`. Starting: live. Stopping: reboot (the guest goes down).",
		},
		"autostart": schema.BoolAttribute{
			Optional:            true,
			Computed:            true,
			Default:             booldefault.StaticBool(false),
			MarkdownDescription: "Whether the VM starts with its host. Default: false. Change: none.",
		},
	}
}

func policyAttributes() map[string]schema.Attribute {
	return map[string]schema.Attribute{
		"wait_for": schema.SingleNestedAttribute{
			Optional: true,
			MarkdownDescription: "What a guest must have before it counts as ready. Default: nothing, it is ready when it runs. Change: none. " +
				"A guest that is not ready in time stays: `ready` is false and the next apply waits again.",
			Attributes: map[string]schema.Attribute{
				"ip": schema.SingleNestedAttribute{
					Optional:            true,
					MarkdownDescription: "An address on an interface. Default: not waited for.",
					Attributes: map[string]schema.Attribute{
						"nic": schema.StringAttribute{
							Required:            true,
							MarkdownDescription: "Key of the interface in `nics`.",
						},
					},
				},
				"tcp": schema.Int64Attribute{
					Optional:            true,
					Validators:          []validator.Int64{int64validator.Between(1, 65535)},
					MarkdownDescription: "TCP port of the guest that must accept connections, 1 to 65535. Default: not waited for.",
				},
				"timeout": schema.StringAttribute{
					Optional:            true,
					CustomType:          tftype.DurationType{},
					MarkdownDescription: "How long to wait, with a unit: `90s`. Default: `3m`.",
				},
				"on_timeout": schema.StringAttribute{
					Optional:            true,
					Validators:          []validator.String{stringvalidator.OneOf("warn", "fail")},
					MarkdownDescription: "`warn`, or `fail` (the apply fails, and a VM that was being created is made anew by the next one). Default: `warn`.",
				},
			},
		},
		"shutdown": schema.SingleNestedAttribute{
			Optional:            true,
			MarkdownDescription: "How the guest is shut down. Default: asked, and forced after 60 s. Change: none.",
			Attributes: map[string]schema.Attribute{
				"timeout": schema.StringAttribute{
					Optional:            true,
					CustomType:          tftype.DurationType{},
					MarkdownDescription: "How long the guest may take, with a unit; `0s` powers it off at once. Default: `60s`.",
				},
				"force": schema.BoolAttribute{
					Optional:            true,
					MarkdownDescription: "Whether it is powered off when it did not obey in time; false makes that an error. Default: true.",
				},
			},
		},
		"update_policy": schema.SingleNestedAttribute{
			Optional:            true,
			MarkdownDescription: "What a change may do to the guest. Default: anything, after a warning in the plan. Change: none.",
			Attributes: map[string]schema.Attribute{
				"max_disruption": schema.StringAttribute{
					Optional:   true,
					Validators: []validator.String{stringvalidator.OneOf("live", "reboot", "replace")},
					MarkdownDescription: "The greatest disruption allowed: `live`, `reboot` or `replace`. A plan that needs more fails. " +
						"Default: `replace`, as everywhere in Terraform: the plan shows what will happen and warns.",
				},
			},
		},
		"deletion_protection": schema.BoolAttribute{
			Optional:            true,
			Computed:            true,
			Default:             booldefault.StaticBool(false),
			MarkdownDescription: "Whether plans that destroy or replace the VM, or delete a disk of its own, fail. To lift it, apply `false` first. Default: false. Change: none.",
		},
	}
}

func statusAttributes() map[string]schema.Attribute {
	return map[string]schema.Attribute{
		"status": schema.StringAttribute{
			Computed:            true,
			MarkdownDescription: "What the VM is: `running`, `stopped`, `paused`, `crashed`, or `transient` (it runs, and its host forgets it when it stops: somebody undefined it; the next apply defines it again).",
		},
		"ready": schema.BoolAttribute{
			Computed:            true,
			MarkdownDescription: "Whether the VM runs and has what `wait_for` asks for. While it runs and is false, the next apply waits again.",
		},
		"ip": schema.StringAttribute{
			Computed:            true,
			MarkdownDescription: "The best known address of the guest: of `wait_for.ip.nic` where that is set. Null while none is known.",
		},
		"addresses": schema.MapAttribute{
			Computed:            true,
			ElementType:         types.ListType{ElemType: types.StringType},
			MarkdownDescription: "All known addresses by key of the interface, best first.",
		},
		"last_disruption": schema.StringAttribute{
			Computed:            true,
			MarkdownDescription: "What the last change did to the guest: `none`, `live` or `reboot`. In a plan: what the change will do.",
		},
		"seed_digest": schema.StringAttribute{
			Computed:            true,
			MarkdownDescription: "Identifies what the guest's cloud-init seed says; empty without a seed.",
		},
		"unmanaged_devices": schema.ListAttribute{
			Computed:            true,
			ElementType:         types.StringType,
			MarkdownDescription: "Devices of the VM that somebody else added, in the platform's words. They are left alone.",
		},
	}
}
