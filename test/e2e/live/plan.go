package live

// OneNode is a lab file with one node of a type, called node-1, and a host beside it, vpc-host. Its pools are given as
// enichaind's configuration has them, each with four blanks before its dash.
func OneNode(instanceType, pools string) string {
	return `
vpc: 10.110.0.0/16
subnets:
  - { name: subnet-a, cidr: 10.110.10.0/24, zone: lab-1a }
nodes:
  - { name: node-1, type: ` + instanceType + `, subnet: subnet-a }
hosts:
  - { name: vpc-host, type: t3.small, subnet: subnet-a }
enichaind:
  pools:
` + pools
}

// Still is a pool that gives nothing back while a test looks, and lets an address cool for 3 s.
const Still = `    - name: default
      mode: secondary
      warm: { free: 4 }
      cooldown: 3s
      release: { window: 1h, minAge: 1h }
`
