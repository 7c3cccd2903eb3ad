package main

import (
	_ "embed"
	"time"
)

// defaultYAML is the commented configuration: the only place where a default stands.
//
//go:embed default.yaml
var defaultYAML []byte

// Config is one daemon's configuration; default.yaml says what each key means. Every role reads its own sections.
type Config struct {
	Roles      []string         `yaml:"roles"`
	Cluster    string           `yaml:"cluster"`
	Node       NodeConfig       `yaml:"node"`
	Pool       PoolConfig       `yaml:"pool"`
	Kernel     KernelConfig     `yaml:"kernel"`
	CNI        CNIConfig        `yaml:"cni"`
	Flight     FlightConfig     `yaml:"flight"`
	Socket     string           `yaml:"socket"`
	Metrics    MetricsConfig    `yaml:"metrics"`
	Log        LogConfig        `yaml:"log"`
	Bus        BusConfig        `yaml:"bus"`
	Reconciler ReconcilerConfig `yaml:"reconciler"`
	Pools      []Policy         `yaml:"pools"`
}

// The sections of Config.
type (
	NodeConfig struct {
		Resync Duration `yaml:"resync"`
	}
	PoolConfig struct {
		File    string `yaml:"file"`
		Ledger  string `yaml:"ledger"`
		MaxPods int    `yaml:"maxPods"`
		Supply  string `yaml:"supply"`
	}
	KernelConfig struct {
		Repair      bool     `yaml:"repair"`
		RepairDelay Duration `yaml:"repairDelay"`
		Names       bool     `yaml:"names"`
	}
	CNIConfig struct {
		ConfDir     string   `yaml:"confDir"`
		BinDir      string   `yaml:"binDir"`
		Conflist    string   `yaml:"conflist"`
		ReadyWhen   int      `yaml:"readyWhen"`
		Results     string   `yaml:"results"`
		Generations string   `yaml:"generations"`
		Grace       Duration `yaml:"grace"`
	}
	FlightConfig struct {
		File string `yaml:"file"`
		Max  Bytes  `yaml:"max"`
	}
	MetricsConfig struct {
		Listen string `yaml:"listen"`
	}
	LogConfig struct {
		Level  string `yaml:"level"`
		Format string `yaml:"format"`
	}
	BusConfig struct {
		Listen      string   `yaml:"listen"`
		Users       string   `yaml:"users"`
		URLs        []string `yaml:"urls"`
		Credentials string   `yaml:"credentials"`
		Store       string   `yaml:"store"`
		Retain      Retain   `yaml:"retain"`
	}
	Retain struct {
		Age   Duration `yaml:"age"`
		Bytes Bytes    `yaml:"bytes"`
	}
	ReconcilerConfig struct {
		DryRun  bool              `yaml:"dryRun"`
		Resync  Duration          `yaml:"resync"`
		EC2     EC2Config         `yaml:"ec2"`
		Cleanup CleanupConfig     `yaml:"cleanup"`
		Tags    map[string]string `yaml:"tags"`
		Demand  DemandConfig      `yaml:"demand"`
	}
	EC2Config struct {
		Region   string                `yaml:"region"`
		Endpoint string                `yaml:"endpoint"`
		Share    float64               `yaml:"share"`
		Rates    map[string]RateConfig `yaml:"rates"`
	}
	RateConfig struct {
		Burst     float64 `yaml:"burst"`
		PerSecond float64 `yaml:"perSecond"`
	}
	DemandConfig struct {
		File string `yaml:"file"`
	}
	CleanupConfig struct {
		Every    Duration `yaml:"every"`
		MinAge   Duration `yaml:"minAge"`
		PerRound int      `yaml:"perRound"`
	}
)

// Policy is one named pool's policy.
type Policy struct {
	Name           string            `yaml:"name"`
	Nodes          map[string]string `yaml:"nodes"`
	Mode           string            `yaml:"mode"`
	Families       []string          `yaml:"families"`
	UsePrimary     bool              `yaml:"usePrimary"`
	Subnets        Choice            `yaml:"subnets"`
	SecurityGroups Choice            `yaml:"securityGroups"`
	Warm           Warm              `yaml:"warm"`
	Cooldown       Duration          `yaml:"cooldown"`
	Release        Release           `yaml:"release"`
	ENIs           ENIs              `yaml:"enis"`
	Cards          []int             `yaml:"cards"`
}

// The parts of a Policy.
type (
	Choice struct {
		IDs  []string          `yaml:"ids"`
		Tags map[string]string `yaml:"tags"`
	}
	Warm struct {
		Free     int `yaml:"free"`
		Minimum  int `yaml:"minimum"`
		Maximum  int `yaml:"maximum"`
		ENIs     int `yaml:"enis"`
		Prefixes int `yaml:"prefixes"`
	}
	Release struct {
		Window Duration `yaml:"window"`
		MinAge Duration `yaml:"minAge"`
		AtOnce int      `yaml:"atOnce"`
	}
	ENIs struct {
		Max         int    `yaml:"max"`
		MTU         int    `yaml:"mtu"`
		Description string `yaml:"description"`
	}
)

// Duration is written with its unit, as time.ParseDuration reads it.
type Duration time.Duration

// Bytes is written with its unit: KiB, MiB or GiB.
type Bytes int64

// The roles of a daemon.
const (
	RoleAgent      = "agent"
	RoleReconciler = "reconciler"
	RoleBus        = "bus"
)

// Has says whether the daemon plays the role.
func (c Config) Has(role string) bool {
	for _, r := range c.Roles {
		if r == role {
			return true
		}
	}
	return false
}
