package link

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"github.com/enichain/enichain/stages/internal/sha"
)

// MAC is an Ethernet address.
type MAC [6]byte

// String is lower case with colons.
func (m MAC) String() string {
	b := make([]byte, 0, 17)
	for i, octet := range m {
		if i > 0 {
			b = append(b, ':')
		}
		b = hex.AppendEncode(b, []byte{octet})
	}
	return string(b)
}

var errMAC = errors.New(`want six octets in hex, as "02:1a:2b:3c:4d:5e"`)

// ParseMAC reads six octets in hex with colons, either case.
func ParseMAC(s string) (MAC, error) {
	var m MAC
	if len(s) != 17 {
		return m, fmt.Errorf("cannot read MAC %q: %w", s, errMAC)
	}
	raw, err := hex.DecodeString(strings.ReplaceAll(s, ":", ""))
	if err != nil || len(raw) != 6 || strings.Count(s, ":") != 5 {
		return m, fmt.Errorf("cannot read MAC %q: %w", s, errMAC)
	}
	copy(m[:], raw)
	return m, nil
}

// OwnerMACs are the addresses of a pair made for one attachment (network/container/ifname): the host's end says whose
// it is, because the kernel takes it in the request that makes the pair, and a name cannot say it (kubelet retries a
// pod with a new sandbox under the same pod name). 02 and 40 bits of the SHA-1 of the key; the pod's end has the next
// 40. Two of 1,000 attachments on a node agree with a chance of 5·10⁻⁷.
func OwnerMACs(attachment string) (host, pod MAC) {
	sum := sha.Sum1([]byte(attachment))
	host[0], pod[0] = 2, 2
	copy(host[1:], sum[:5])
	copy(pod[1:], sum[5:10])
	return host, pod
}

// hashLength is how much of a SHA-1 in hex follows the prefix of a host end's name: Calico's Felix and aws-node look
// for exactly this many (libcalico-go, VethNameForWorkload), and with a prefix of up to 4 it fits IFNAMSIZ.
const hashLength = 11

// MaxPrefix is the longest prefix of a host end's name, in bytes.
const MaxPrefix = 4

// HostName is the name of a host end made from a key: "namespace.pod" for a pod's eth0, as Calico and aws-cni have it;
// "namespace.pod.ifname" for further interfaces; network/container/ifname where no pod is named.
func HostName(prefix, key string) string {
	sum := sha.Sum1([]byte(key))
	return prefix + hex.EncodeToString(sum[:])[:hashLength]
}

// IsZero says whether the address is unset.
func (m MAC) IsZero() bool { return m == MAC{} }
