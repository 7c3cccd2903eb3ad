package agent

import (
	"slices"

	"github.com/enichain/enichain/ipam"
)

// surveyState is the slow comparison of everything with everything, and the leases whose pods seem to be gone. A
// runtime forgets a sandbox whose DEL failed and never asks again (docs/design.md, "The stages"), so somebody has to look.
type surveyState struct {
	at    ipam.Instant
	busy  bool
	stale map[ipam.Attachment]ipam.Instant // since when it looks dead
}

func newSurveyState() surveyState { return surveyState{stale: map[ipam.Attachment]ipam.Instant{}} }

func (c *Core) decideSurvey() {
	if c.survey.at == 0 || c.now.Boot < c.survey.at {
		return
	}
	c.survey.at = after(c.now, c.options.Resync)
	if c.links.at == 0 || c.links.at > c.now.Boot {
		c.links.at = c.now.Boot
	}
	c.mendSoon()
	c.ticked = c.now.Boot
	c.do(Effect{Tick: true})
	if !c.survey.busy {
		c.survey.busy = true
		c.do(Effect{Survey: true})
	}
	c.do(Effect{Sweep: true})
}

// surveyed ends the leases that have looked dead for the whole grace, seen so at both ends of it.
func (c *Core) surveyed(s Surveyed) {
	c.survey.busy = false
	if s.Err != "" {
		c.note("warn", "cannot compare leases with the kernel: %s", s.Err)
		return
	}
	now := map[ipam.Attachment]ipam.Instant{}
	byCause := map[string][]ipam.Attachment{}
	for _, stale := range s.Stale {
		since, seen := c.survey.stale[stale.Attachment]
		if !seen {
			since = c.now.Boot
		}
		now[stale.Attachment] = since
		if c.now.Boot-since >= ipam.Instant(c.options.Grace) {
			byCause[stale.Cause] = append(byCause[stale.Cause], stale.Attachment)
			delete(now, stale.Attachment)
		}
	}
	c.survey.stale = now
	causes := make([]string, 0, len(byCause))
	for cause := range byCause {
		causes = append(causes, cause)
	}
	slices.Sort(causes)
	for _, cause := range causes {
		dead := byCause[cause]
		slices.SortFunc(dead, func(a, b ipam.Attachment) int { return compare(a, b) })
		c.note("info", "ending %d leases: %s", len(dead), cause)
		c.do(Effect{Release: &Release{Attachments: dead, Cause: cause}})
	}
}

func compare(a, b ipam.Attachment) int {
	switch {
	case a == b:
		return 0
	case a.Network < b.Network, a.Network == b.Network && a.Container < b.Container,
		a.Network == b.Network && a.Container == b.Container && a.IfName < b.IfName:
		return -1
	}
	return 1
}
