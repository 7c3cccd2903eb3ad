package main

// builtinLabs are the labs that need no file, in the form of a file that anybody may write.
func builtinLabs() map[string]string {
	return map[string]string{"one-node": oneNode, "two-nodes": twoNodes, "demo": demoLab, "pools": poolsLab}
}

// oneNode and twoNodes are all that most questions need.
const oneNode = `
vpc: 10.110.0.0/16
subnets:
  - { name: subnet-a, cidr: 10.110.10.0/24, zone: lab-1a }
nodes:
  - { name: node-1, type: t3.medium, subnet: subnet-a }
hosts:
  - { name: vpc-host, type: t3.small, subnet: subnet-a }
`

const twoNodes = `
vpc: 10.110.0.0/16
subnets:
  - { name: subnet-a, cidr: 10.110.10.0/24, zone: lab-1a }
  - { name: subnet-b, cidr: 10.110.20.0/24, zone: lab-1b }
nodes:
  - { name: node-1, type: t3.medium, subnet: subnet-a }
  - { name: node-2, type: t3.medium, subnet: subnet-b }
hosts:
  - { name: vpc-host, type: t3.small, subnet: subnet-b }
`

// demoLab is like twoNodes, in a hurry: what takes minutes on a cluster, so that it does not swing, takes seconds here.
const demoLab = `
vpc: 10.110.0.0/16
subnets:
  - { name: subnet-a, cidr: 10.110.10.0/24, zone: lab-1a }
  - { name: subnet-b, cidr: 10.110.20.0/24, zone: lab-1b }
nodes:
  - { name: node-1, type: t3.medium, subnet: subnet-a }
  - { name: node-2, type: m5.large, subnet: subnet-b }
hosts:
  - { name: vpc-host, type: t3.small, subnet: subnet-b }
enichaind:
  pools:
    - name: default
      mode: secondary
      warm: { free: 4 }
      cooldown: 5s
      release: { window: 10s, minAge: 10s }
`

// poolsLab has a node with two pools: one of delegated prefixes and both families, and a team's own in its own subnet.
const poolsLab = `
vpc: 10.110.0.0/16
ipv6: fd00:110::/56
subnets:
  - { name: subnet-a, cidr: 10.110.10.0/24, zone: lab-1a, ipv6: fd00:110:0:10::/64 }
  - { name: subnet-b, cidr: 10.110.20.0/24, zone: lab-1a, ipv6: fd00:110:0:20::/64, tags: { team: payments } }
groups:
  - { name: payments, tags: { team: payments } }
nodes:
  - { name: node-1, type: m5.large, subnet: subnet-a }
hosts:
  - { name: vpc-host, type: t3.small, subnet: subnet-b }
enichaind:
  pools:
    - name: default
      mode: auto
      families: [ipv4, ipv6]
      warm: { free: 4 }
      cooldown: 10s
      release: { window: 20s, minAge: 20s }
    - name: payments
      mode: secondary
      usePrimary: false
      subnets: { tags: { team: payments } }
      securityGroups: { tags: { team: payments } }
      warm: { free: 2 }
      cooldown: 10s
      release: { window: 20s, minAge: 20s }
`
