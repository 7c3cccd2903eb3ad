package imds

import (
	"encoding/json"
	"net/netip"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/enichain/enichain/test/lab/vpc"
)

// file is one item of metadata.
type file struct{ path, text string }

// files is all metadata of an instance, sorted by path so that folders stay together.
func files(m vpc.Metadata) []file {
	var all []file
	add := func(name, text string) {
		if text != "" { // what would be empty is not there
			all = append(all, file{name, text})
		}
	}
	add("/latest/dynamic/instance-identity/document", identity(m))
	meta := func(path, text string) { add("/latest/meta-data/"+path, text) }
	meta("ami-id", image)
	meta("instance-id", m.Instance.ID)
	meta("instance-life-cycle", "on-demand")
	meta("instance-type", m.Instance.Type)
	meta("placement/availability-zone", m.Instance.Zone)
	meta("placement/availability-zone-id", vpc.ZoneID(m.Instance.Zone))
	meta("placement/region", m.Region)
	meta("reservation-id", "r-"+strings.TrimPrefix(m.Instance.ID, "i-"))
	meta("services/domain", "amazonaws.com")
	meta("services/partition", "aws")
	const macs = "network/interfaces/macs/"
	for i, n := range m.Interfaces {
		if i == 0 {
			meta("hostname", hostname(n.Primary, m.Region))
			meta("local-hostname", hostname(n.Primary, m.Region))
			meta("local-ipv4", n.Primary.String())
			meta("mac", n.MAC)
			meta("security-groups", strings.Join(groupNames(n), "\n"))
		}
		network(func(path, text string) {
			if older(m, path) == nil {
				meta(macs+n.MAC+"/"+path, text)
			}
		}, m, n)
	}
	for i, o := range m.Older {
		for _, n := range o.Interfaces {
			network(func(path, text string) {
				if older(m, path) == &m.Older[i] {
					meta(macs+n.MAC+"/"+path, text)
				}
			}, m, n)
		}
	}
	slices.SortFunc(all, func(a, b file) int { return strings.Compare(a.path, b.path) })
	return all
}

// older is what an attribute of an interface shows instead of the present, or nil.
func older(m vpc.Metadata, attribute string) *vpc.Older {
	for i := len(m.Older) - 1; i >= 0; i-- {
		if match, _ := path.Match(m.Older[i].Attributes, attribute); match {
			return &m.Older[i]
		}
	}
	return nil
}

const image = "ami-00000000000000000"

// network is the folder of one interface. The primary address is the first of local-ipv4s: amazon-vpc-cni-k8s relies on
// it. The index of the network card has two names: the documentation's and the one that clients read.
func network(add func(path, text string), m vpc.Metadata, n vpc.Interface) {
	card := strconv.Itoa(n.Attachment.Card)
	add("device-number", strconv.Itoa(n.Attachment.Device))
	add("interface-id", n.ID)
	add("ipv4-prefix", lines(n.Prefixes))
	add("ipv6-prefix", lines(n.IPv6Prefixes))
	add("ipv6s", lines(n.IPv6))
	add("local-hostname", hostname(n.Primary, m.Region))
	add("local-ipv4s", lines(n.Addresses()))
	add("local-ipv6s", lines(n.IPv6))
	add("mac", n.MAC)
	add("network-card", card)
	add("network-card-index", card)
	add("owner-id", m.Account)
	add("security-group-ids", strings.Join(n.Groups, "\n"))
	add("security-groups", strings.Join(groupNames(n), "\n"))
	add("subnet-id", n.Subnet)
	add("subnet-ipv4-cidr-block", n.Of.CIDR.String())
	add("vpc-id", n.NetworkInterface.VPC)
	add("vpc-ipv4-cidr-block", n.VPC.CIDRs[0].String())
	add("vpc-ipv4-cidr-blocks", lines(n.VPC.CIDRs))
	if n.Of.IPv6.IsValid() {
		add("subnet-ipv6-cidr-blocks", n.Of.IPv6.String())
	}
	if n.VPC.IPv6.IsValid() {
		add("vpc-ipv6-cidr-blocks", n.VPC.IPv6.String())
	}
}

func lines[T interface{ String() string }](items []T) string {
	texts := make([]string, 0, len(items))
	for _, item := range items {
		texts = append(texts, item.String())
	}
	return strings.Join(texts, "\n")
}

func groupNames(n vpc.Interface) []string {
	var names []string
	for _, id := range n.Groups {
		if name := n.GroupOf[id]; name != "" {
			names = append(names, name)
		}
	}
	return names
}

func hostname(a netip.Addr, region string) string {
	return "ip-" + strings.ReplaceAll(a.String(), ".", "-") + "." + region + ".compute.internal"
}

// identity is the instance identity document (EC2 user guide, "Instance identity documents").
func identity(m vpc.Metadata) string {
	private := ""
	if len(m.Interfaces) > 0 {
		private = m.Interfaces[0].Primary.String()
	}
	text, err := json.MarshalIndent(struct {
		AccountID    string `json:"accountId"`
		Architecture string `json:"architecture"`
		Zone         string `json:"availabilityZone"`
		Image        string `json:"imageId"`
		Instance     string `json:"instanceId"`
		Type         string `json:"instanceType"`
		Pending      string `json:"pendingTime"`
		Private      string `json:"privateIp"`
		Region       string `json:"region"`
		Version      string `json:"version"`
	}{m.Account, vpc.InstanceType{Name: m.Instance.Type}.Architecture(), m.Instance.Zone, image, m.Instance.ID, m.Instance.Type,
		m.Instance.Launched.UTC().Format("2006-01-02T15:04:05Z"), private, m.Region, "2017-09-30"}, "", "  ")
	if err != nil {
		panic(err) // plain strings
	}
	return string(text)
}
