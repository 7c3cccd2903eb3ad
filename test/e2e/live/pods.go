package live

import (
	"regexp"
	"strings"
	"time"
)

// Pod is what vpclab says of a pod.
type Pod struct {
	Node, Namespace, Name, Error string
	Addresses                    []string
	Took                         time.Duration
}

// Address is all of its addresses in one text; "" for none.
func (p Pod) Address() string { return strings.Join(p.Addresses, " ") }

// Pods runs 'vpclab pod' and reads its answer, whether pods failed or not.
func (l *Lab) Pods(args ...string) []Pod {
	l.t.Helper()
	var all []Pod
	if err := l.read(&all, append([]string{"--format", "json", "pod"}, args...)...); err != nil {
		l.t.Fatal(err)
	}
	return all
}

// Start adds pods that must run.
func (l *Lab) Start(args ...string) []Pod {
	l.t.Helper()
	return l.wellDone("add", args)
}

// End deletes pods, which must succeed.
func (l *Lab) End(args ...string) []Pod {
	l.t.Helper()
	return l.wellDone("del", args)
}

func (l *Lab) wellDone(verb string, args []string) []Pod {
	l.t.Helper()
	all := l.Pods(append([]string{verb}, args...)...)
	for _, p := range all {
		if p.Error != "" {
			l.t.Errorf("pod %s %s on %s: %s", verb, p.Name, p.Node, p.Error)
		}
	}
	if l.t.Failed() {
		l.t.FailNow()
	}
	return all
}

// Told starts a pod that must not run, as a runtime does again and again, until the error of its eni-ipam is as the pattern
// wants it behind the stage's name: on a busy machine the cause may take longer than a first ADD waits.
func (l *Lab) Told(pattern string, args ...string) {
	l.t.Helper()
	whole := regexp.MustCompile(`^plugin type="eni-ipam" failed \(add\): ` + pattern + `$`)
	l.Eventually(Patience, "a pod is told "+whole.String(), func() (bool, string) {
		said := l.Refused(args...)
		return said == "" || whole.MatchString(said), said
	})
}

// Refused starts a pod that must not run, and returns its error.
func (l *Lab) Refused(args ...string) string {
	l.t.Helper()
	p := l.Pods(append([]string{"add"}, args...)...)[0]
	if p.Error == "" {
		l.t.Errorf("pod add %s: it runs, with %v", strings.Join(args, " "), p.Addresses)
	}
	return p.Error
}
