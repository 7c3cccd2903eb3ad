package routedveth

import (
	"context"
	"encoding/json"
	"strconv"
	"strings"

	"github.com/enichain/enichain/stages"
	"github.com/enichain/enichain/stages/internal/link"
)

// config is the stage's part of the list.
type config struct {
	MTU        int             `json:"mtu"`
	VethPrefix string          `json:"vethPrefix"`
	HostVeth   string          `json:"hostVeth"`
	IPAM       json.RawMessage `json:"ipam"` // the delegate's affair, but for its type
	plugin     string          // ipam.type; "" calls nobody
}

// The two ways to name a host end.
const (
	byPod        = "pod"
	byAttachment = "attachment"
)

// Least MTUs: RFC 791, section 3.2 and RFC 8200, section 5. The largest is veth's own.
const (
	leastMTU  = 68
	leastMTU6 = 1280
	mostMTU   = 65535
)

// Validate implements stages.Validator.
func (c *config) Validate(report func(path, fault string)) {
	if c.MTU != 0 && (c.MTU < leastMTU || c.MTU > mostMTU) {
		report("mtu", "want 0 (the network interface's) or 68 to 65535 bytes, got "+strconv.Itoa(c.MTU))
	}
	if p := c.VethPrefix; p == "" || len(p) > link.MaxPrefix || strings.ContainsAny(p, "/: \t\n%") {
		report("vethPrefix", `want 1 to 4 bytes without '/', ':', '%' and white space, such as "eni", got `+strconv.Quote(p))
	}
	if c.HostVeth != byPod && c.HostVeth != byAttachment {
		report("hostVeth", `want "pod" or "attachment", got `+strconv.Quote(c.HostVeth))
	}
	if len(c.IPAM) == 0 {
		return
	}
	plugin, given, err := typeOf(c.IPAM)
	switch {
	case err != nil:
		report("ipam", err.Error())
	case plugin == "" && given: // an empty object counts as none, as upstream's interface plugins have it
		report("ipam.type", `the plugin's name is missing, such as "eni-ipam" or "host-local"`)
	}
	c.plugin = plugin
}

// decode reads the configuration over the defaults. On error it returns what could be read: a DEL works with that.
func decode(r *stages.Request) (*config, error) {
	c := &config{VethPrefix: "eni", HostVeth: byPod}
	err := r.Decode(c)
	if c.VethPrefix == "" || len(c.VethPrefix) > link.MaxPrefix {
		c.VethPrefix = "eni"
	}
	return c, err
}

// delegate passes a command on to the plugin of "ipam"; nothing happens where there is none.
func (c *config) delegate(ctx context.Context, r *stages.Request, command string) error {
	if c.plugin == "" {
		return nil
	}
	_, err := stages.Delegate(ctx, r, c.plugin, r.Config, command)
	return err
}

// hostNames are the names that a host end may have, best first.
func (c *config) hostNames(r *stages.Request) []string {
	own := link.HostName(c.VethPrefix, r.Attachment.String())
	if c.HostVeth != byPod || r.Pod.Name == "" {
		return []string{own}
	}
	key := r.Pod.Namespace + "." + r.Pod.Name
	if r.IfName != "eth0" {
		key += "." + r.IfName
	}
	return []string{link.HostName(c.VethPrefix, key), own}
}
