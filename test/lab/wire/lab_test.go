package wire_test

import (
	"bytes"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/enichain/enichain/test/lab/vpc"
	"github.com/enichain/enichain/test/lab/wire"
)

// lab is a world behind a server whose every answer is judged by the model.
type lab struct {
	*vpc.World
	t        testing.TB
	url      string
	subnet   vpc.Subnet
	node     vpc.Instance
	eth0     vpc.NetworkInterface
	judge    *judge
	settled  int
	settling sync.Mutex
}

// judge stands in front of the handler.
type judge struct {
	t     testing.TB
	model *model
	next  http.Handler

	mu   sync.Mutex
	seen map[string]int // action and "ok" or "refused" → answers
}

func (j *judge) ServeHTTP(rw http.ResponseWriter, hr *http.Request) {
	body, err := io.ReadAll(hr.Body)
	if err != nil {
		j.t.Error(err)
	}
	hr.Body = io.NopCloser(bytes.NewReader(body))
	recorder := httptest.NewRecorder()
	j.next.ServeHTTP(recorder, hr)
	form, err := url.ParseQuery(string(body))
	if err != nil {
		j.t.Errorf("a client sent %q: %v", body, err)
	}
	action := form.Get("Action")
	if err := j.model.check(action, recorder.Code, recorder.Body.Bytes()); err != nil {
		j.t.Errorf("%s answered %d:\n%s\n%v", action, recorder.Code, recorder.Body, err)
	}
	outcome := " ok"
	if recorder.Code != http.StatusOK {
		outcome = " refused"
	}
	j.mu.Lock()
	j.seen[action+outcome]++
	j.mu.Unlock()
	for name, values := range recorder.Header() {
		rw.Header()[name] = values
	}
	rw.WriteHeader(recorder.Code)
	_, _ = rw.Write(recorder.Body.Bytes())
}

func newLab(t testing.TB, config vpc.Config) *lab {
	t.Helper()
	w := vpc.New(config, rand.New(rand.NewPCG(3, 4)))
	l := &lab{World: w, t: t}
	v, err := w.AddVPC(vpc.VPC{CIDRs: []netip.Prefix{netip.MustParsePrefix("10.110.0.0/16")},
		IPv6: netip.MustParsePrefix("2001:db8:100::/56"), Tags: map[string]string{"Name": "lab"}})
	if err != nil {
		t.Fatal(err)
	}
	l.subnet, err = w.AddSubnet(vpc.Subnet{VPC: v.ID, Zone: "lab-1a", CIDR: netip.MustParsePrefix("10.110.10.0/24"),
		IPv6: netip.MustParsePrefix("2001:db8:100:a::/64"), Tags: map[string]string{"Name": "subnet-a"}})
	if err != nil {
		t.Fatal(err)
	}
	l.node, l.eth0, err = w.AddInstance(time.Now(), vpc.Launch{Type: "m5.large", Subnet: l.subnet.ID, Secondary: 2, IPv6: 1,
		Tags: map[string]string{"Name": "node-1"}, ENITags: map[string]string{"cluster": "a & b <c>"}})
	if err != nil {
		t.Fatal(err)
	}
	settle := func(time.Time) {
		l.settling.Lock()
		l.settled++
		l.settling.Unlock()
	}
	l.judge = &judge{t: t, model: loadModel(t), next: wire.Handler(w, wire.RealClock{}, settle), seen: map[string]int{}}
	server := httptest.NewServer(l.judge)
	t.Cleanup(server.Close)
	l.url = server.URL
	return l
}

func (l *lab) now() time.Time { return time.Now() }

const signature = "AWS4-HMAC-SHA256 Credential=AKIATESTER/20261120/lab-1/ec2/aws4_request, SignedHeaders=host, Signature=00"

// post sends a query by hand and returns the status and the body.
func (l *lab) post(query string, edit func(*http.Request)) (int, string) {
	l.t.Helper()
	request, err := http.NewRequest(http.MethodPost, l.url, strings.NewReader(query))
	if err != nil {
		l.t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
	request.Header.Set("Authorization", signature)
	if edit != nil {
		edit(request)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		l.t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		l.t.Fatal(err)
	}
	return response.StatusCode, string(body)
}
