package portmapcompat

import (
	"context"
	"errors"
	"os/exec"
	"strings"

	"github.com/enichain/enichain/stages"
	"github.com/enichain/enichain/stages/internal/nft"
	"github.com/enichain/enichain/stages/internal/numbers"
)

// script is dnat in nft's language, with the network's conditions in it: the one thing that only nft can read. One
// run is one transaction.
func (c config) script() string {
	var b strings.Builder
	line := func(words ...string) { b.WriteString(strings.Join(words, " ") + "\n") }
	in := func(name string) string { return "inet " + numbers.TablePortmap + " " + name + c.suffix() }
	line("add table inet", numbers.TablePortmap, `{ comment "`+tableComment+`" ; }`)
	line("add chain", in(chainDNAT))
	line("flush chain", in(chainDNAT))
	for _, f := range families {
		address, match := "ipv4_addr", strings.Join(c.ConditionsV4, " ")
		if f == nft.IPv6 {
			address, match = "ipv6_addr", strings.Join(c.ConditionsV6, " ")
		}
		ports := "inet_proto . inet_service : " + address + " . inet_service"
		line("add map", in(familyName(setAddrPorts, f)), "{ type", address, ".", ports, "; }")
		line("add map", in(familyName(setPorts, f)), "{ type", ports, "; }")
		line("add rule", in(chainDNAT), match, "dnat", f.String(), "to", f.String(),
			"daddr . meta l4proto . th dport map @"+c.set(setAddrPorts, f))
		line("add rule", in(chainDNAT), match, "dnat", f.String(), "to meta l4proto . th dport map @"+c.set(setPorts, f))
	}
	for _, hook := range []string{chainPrerouting, chainOutput} {
		line("add chain", in(hook), "{ type nat hook", hook, "priority -100 ; }")
		line("flush chain", in(hook))
		line("add rule", in(hook), "fib daddr type local jump", chainDNAT+c.suffix())
	}
	return b.String()
}

// installConditions has nft write the chains of a network with conditions; once per network and change of them, not
// once per container.
func (c config) installConditions(ctx context.Context) error {
	program, err := nftProgram()
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, program, "-f", "-")
	cmd.Stdin = strings.NewReader(c.script())
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &exit):
		said, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
		return stages.Errorf(stages.Config, "conditionsV4, conditionsV6: nft does not take %q, %q: %s",
			strings.Join(c.ConditionsV4, " "), strings.Join(c.ConditionsV6, " "), said)
	}
	return err
}

// nftProgram finds nft where runtimes' short PATH does not lead.
func nftProgram() (string, error) {
	for _, name := range []string{"nft", "/usr/sbin/nft", "/sbin/nft"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", stages.Errorf(stages.Config, "conditionsV4 and conditionsV6 need the program nft, which this node has not; "+
		"install it, or take them out")
}
