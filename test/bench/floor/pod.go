package floor

import (
	"encoding/json"
	"fmt"
	"hash/fnv"
	"io"
	"net/netip"
	"os"
	"strconv"
	"syscall"
)

// Pod is what a plugin was asked to do, and for whom.
type Pod struct {
	Add      bool // ADD; otherwise DEL
	Netns    string
	IfName   string
	Config   Config
	Address  netip.Addr // of a lease, or of prevResult
	Previous json.RawMessage
	key      uint32 // of the attachment
}

// Config is the part of the network configuration that is read.
type Config struct {
	CNIVersion    string `json:"cniVersion"`
	Leases        string `json:"leases"` // folder with a file for each address that is taken
	RuntimeConfig struct {
		PortMappings []struct {
			HostPort, ContainerPort uint16
		}
	} `json:"runtimeConfig"`
	PrevResult json.RawMessage `json:"prevResult"`
}

type result struct {
	CNIVersion string           `json:"cniVersion"`
	Interfaces []map[string]any `json:"interfaces"`
	IPs        []ip             `json:"ips"`
	Routes     []map[string]any `json:"routes"`
}

type ip struct {
	Address   netip.Prefix `json:"address"`
	Gateway   string       `json:"gateway"`
	Interface int          `json:"interface"`
}

// Run is the main of every plugin here.
func Run(work func(*Pod) error) {
	if err := run(work); err != nil {
		fmt.Printf(`{"cniVersion":"1.0.0","code":100,"msg":%q}`, err)
		os.Exit(1)
	}
}

func run(work func(*Pod) error) error {
	p := &Pod{Add: os.Getenv("CNI_COMMAND") == "ADD", Netns: os.Getenv("CNI_NETNS"), IfName: os.Getenv("CNI_IFNAME")}
	if os.Getenv("CNI_COMMAND") == "VERSION" {
		os.Stdout.WriteString(`{"cniVersion":"1.0.0","supportedVersions":["1.0.0"]}`)
		return nil
	}
	hash := fnv.New32a()
	hash.Write([]byte(os.Getenv("CNI_CONTAINERID")))
	p.key = hash.Sum32()
	text, err := io.ReadAll(os.Stdin)
	if err == nil {
		err = json.Unmarshal(text, &p.Config)
	}
	if err != nil {
		return fmt.Errorf("cannot read the configuration: %w", err)
	}
	if p.Config.PrevResult != nil {
		var r result
		if err := json.Unmarshal(p.Config.PrevResult, &r); err != nil {
			return fmt.Errorf("cannot read prevResult: %w", err)
		}
		if len(r.IPs) > 0 {
			p.Address = r.IPs[0].Address.Addr()
		}
	}
	if err := work(p); err != nil || !p.Add {
		return err
	}
	_, err = os.Stdout.Write(p.result())
	return err
}

// result is prevResult where there is one, and else the attachment.
func (p *Pod) result() []byte {
	if p.Config.PrevResult != nil {
		return p.Config.PrevResult
	}
	text, err := json.Marshal(result{CNIVersion: p.Config.CNIVersion,
		Interfaces: []map[string]any{{"name": p.HostLink()}, {"name": p.IfName, "sandbox": p.Netns}},
		IPs:        []ip{{Address: netip.PrefixFrom(p.Address, 32), Gateway: gateway.String(), Interface: 1}},
		Routes:     []map[string]any{{"dst": "0.0.0.0/0", "gw": gateway.String()}}})
	if err != nil {
		panic(err) // all of it can be written
	}
	return text
}

// HostLink is the name of the node's end of the pod's wire.
func (p *Pod) HostLink() string { return "flr" + strconv.FormatUint(uint64(p.key), 16) }

// Lease takes an address, or gives it back: a file that only one can make. The attachment's hash says where to start, so
// that mostly the first try succeeds.
func (p *Pod) Lease() error {
	if !p.Add {
		if !p.Address.IsValid() {
			return nil
		}
		return syscall.Unlink(p.Config.Leases + "/" + p.Address.String())
	}
	for try := range uint32(1 << 14) {
		at := (p.key + try) % (1 << 14)
		p.Address = netip.AddrFrom4([4]byte{10, 112, byte(at >> 7), byte(at&127) + 10})
		f, err := syscall.Open(p.Config.Leases+"/"+p.Address.String(), syscall.O_CREAT|syscall.O_EXCL|syscall.O_CLOEXEC, 0o600)
		if err == syscall.EEXIST {
			continue
		}
		if err != nil {
			return fmt.Errorf("cannot take %s: %w", p.Address, err)
		}
		return syscall.Close(f)
	}
	return fmt.Errorf("no address is free")
}
