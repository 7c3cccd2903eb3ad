package portmapcompat

import (
	"github.com/enichain/enichain/stages/internal/nft"
	"github.com/enichain/enichain/stages/internal/numbers"
)

// Standing says whether this stage's nftables table is there in this network namespace: without it no pod has host
// ports.
func Standing() (bool, error) {
	c, err := nft.Open()
	if err != nil {
		return false, err
	}
	defer c.Close()
	return c.HasTable(numbers.TablePortmap)
}
