package conformance

import (
	"encoding/xml"
	"fmt"
	"io"
	"strings"
)

type junitSuites struct {
	XMLName xml.Name     `xml:"testsuites"`
	Suites  []junitSuite `xml:"testsuite"`
}

type junitSuite struct {
	Name     string      `xml:"name,attr"`
	Tests    int         `xml:"tests,attr"`
	Failures int         `xml:"failures,attr"`
	Skipped  int         `xml:"skipped,attr"`
	Time     string      `xml:"time,attr"`
	Cases    []junitCase `xml:"testcase"`
}

type junitCase struct {
	Class   string       `xml:"classname,attr"`
	Name    string       `xml:"name,attr"`
	Time    string       `xml:"time,attr"`
	Failure *junitReason `xml:"failure"`
	Skipped *junitReason `xml:"skipped"`
}

type junitReason struct {
	Message string `xml:"message,attr"`
	Text    string `xml:",chardata"`
}

// JUnit prints reports as JUnit XML, as CI systems read it: one suite for each plugin. Failed conventions are failures
// there, too; declared deviations are skipped.
func JUnit(w io.Writer, reports []*Report) error {
	var all junitSuites
	for _, r := range reports {
		suite := junitSuite{Name: r.Plugin, Time: fmt.Sprintf("%.3f", r.Took.Seconds())}
		if r.NotRun != "" {
			suite.Cases = append(suite.Cases, junitCase{Class: r.Plugin, Name: "suite", Time: "0", Skipped: &junitReason{Message: r.NotRun}})
		}
		for _, f := range r.Findings {
			suite.Cases = append(suite.Cases, f.junit(r.Plugin))
		}
		for _, c := range suite.Cases {
			suite.Tests++
			if c.Failure != nil {
				suite.Failures++
			}
			if c.Skipped != nil {
				suite.Skipped++
			}
		}
		all.Suites = append(all.Suites, suite)
	}
	text, err := xml.MarshalIndent(all, "", "  ")
	if err == nil {
		_, err = fmt.Fprintf(w, "%s%s\n", xml.Header, text)
	}
	if err != nil {
		return fmt.Errorf("cannot write the report: %w", err)
	}
	return nil
}

func (f Finding) junit(plugin string) junitCase {
	c := junitCase{Class: "cni." + plugin, Name: fmt.Sprintf("%s %s: %s", f.ID, f.Strength, f.Sentence), Time: fmt.Sprintf("%.3f", f.Took.Seconds())}
	switch f.Outcome {
	case Failed:
		c.Failure = &junitReason{Message: "seen " + f.Seen, Text: fmt.Sprintf("expected %s\nseen %s\n%s\ntry:\n%s\n", f.Expected, f.Seen, f.Section, strings.Join(f.Try, "\n"))}
	case NotRun:
		c.Skipped = &junitReason{Message: f.Why}
	case Deviates:
		c.Skipped = &junitReason{Message: "deviates (declared): " + f.Why}
	}
	return c
}
