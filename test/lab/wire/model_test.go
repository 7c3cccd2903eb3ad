package wire_test

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/enichain/enichain/test/need"
)

// model is the published EC2 model (version 2016-11-15) as the AWS SDK for Go v1 ships it: the judge of every response.
type model struct {
	Operations map[string]struct {
		Output *struct{ Shape string }
	}
	Shapes map[string]shape
}

type shape struct {
	Type    string
	Enum    []string
	Members map[string]member
	Member  *member
}

type member struct {
	Shape        string
	LocationName string
}

// modelModule is where the model comes from, by the Go module proxy; it is read, not linked.
const modelModule = "github.com/aws/aws-sdk-go@v1.55.8"

func loadModel(t testing.TB) *model {
	t.Helper()
	command := exec.Command(need.Tool(t, "go", "golang"), "mod", "download", "-json", modelModule)
	command.Dir = t.TempDir() // outside of any module, so that no go.mod is asked or changed
	out, err := command.Output()
	var downloaded struct{ Dir string }
	if err == nil {
		err = json.Unmarshal(out, &downloaded)
	}
	need.Module(t, modelModule, err)
	text, err := os.ReadFile(filepath.Join(downloaded.Dir, "models/apis/ec2/2016-11-15/api-2.json"))
	if err != nil {
		t.Fatal(err)
	}
	m := &model{}
	if err := json.Unmarshal(text, m); err != nil {
		t.Fatal(err)
	}
	return m
}

// element is parsed XML.
type element struct {
	XMLName  xml.Name
	Text     string    `xml:",chardata"`
	Children []element `xml:",any"`
}

const namespace = "http://ec2.amazonaws.com/doc/2016-11-15/"

// check says everything in a response that the model does not know or allow.
func (m *model) check(action string, status int, body []byte) error {
	var root element
	decoder := xml.NewDecoder(strings.NewReader(string(body)))
	if err := decoder.Decode(&root); err != nil {
		return fmt.Errorf("not XML: %w", err)
	}
	if _, err := decoder.Token(); err != io.EOF {
		return errors.New("something follows the root element")
	}
	if status != 200 {
		return checkError(root)
	}
	if root.XMLName.Space != namespace || root.XMLName.Local != action+"Response" {
		return fmt.Errorf("root is %v, want %sResponse of %s", root.XMLName, action, namespace)
	}
	operation, ok := m.Operations[action]
	if !ok {
		return fmt.Errorf("the model has no %s", action)
	}
	if len(root.Children) == 0 || root.Children[0].XMLName.Local != "requestId" {
		return errors.New("no requestId")
	}
	root.Children = root.Children[1:]
	if operation.Output == nil {
		if len(root.Children) != 1 || root.Children[0].XMLName.Local != "return" || root.Children[0].Text != "true" {
			return errors.New("want just <return>true</return>")
		}
		return nil
	}
	return errors.Join(m.walk(action, operation.Output.Shape, root)...)
}

func checkError(root element) error {
	path := func(e element, names ...string) (element, bool) {
		for _, name := range names {
			i := slices.IndexFunc(e.Children, func(c element) bool { return c.XMLName.Local == name })
			if i < 0 {
				return element{}, false
			}
			e = e.Children[i]
		}
		return e, true
	}
	code, hasCode := path(root, "Errors", "Error", "Code")
	_, hasMessage := path(root, "Errors", "Error", "Message")
	_, hasID := path(root, "RequestID")
	if root.XMLName.Local != "Response" || !hasCode || code.Text == "" || !hasMessage || !hasID || len(root.Children) != 2 {
		return fmt.Errorf("not an EC2 error: %+v", root)
	}
	return nil
}

// walk compares an element with a shape: every child is a member by its locationName, every list member an item, every
// value of its type.
func (m *model) walk(where, name string, e element) []error {
	s, ok := m.Shapes[name]
	if !ok {
		return []error{fmt.Errorf("%s: the model has no shape %s", where, name)}
	}
	switch s.Type {
	case "structure":
		return m.walkStructure(where, s, e)
	case "list":
		var all []error
		for _, child := range e.Children {
			at := where + "/" + child.XMLName.Local
			want := s.Member.LocationName
			if want == "" {
				want = "item"
			}
			if child.XMLName.Local != want {
				all = append(all, fmt.Errorf("%s: a list's member is <%s>", at, want))
				continue
			}
			all = append(all, m.walk(at, s.Member.Shape, child)...)
		}
		return all
	}
	if len(e.Children) > 0 {
		return []error{fmt.Errorf("%s: a %s has no elements", where, s.Type)}
	}
	if err := value(s, e.Text); err != nil {
		return []error{fmt.Errorf("%s: %w", where, err)}
	}
	return nil
}

func (m *model) walkStructure(where string, s shape, e element) []error {
	var all []error
	if strings.TrimSpace(e.Text) != "" {
		all = append(all, fmt.Errorf("%s: text %q in a structure", where, e.Text))
	}
	seen := map[string]bool{}
	for _, child := range e.Children {
		at := where + "/" + child.XMLName.Local
		if seen[child.XMLName.Local] {
			all = append(all, fmt.Errorf("%s: twice", at))
		}
		seen[child.XMLName.Local] = true
		found := false
		for memberName, one := range s.Members {
			if one.LocationName == child.XMLName.Local || one.LocationName == "" && memberName == child.XMLName.Local {
				found = true
				all = append(all, m.walk(at, one.Shape, child)...)
			}
		}
		if !found {
			all = append(all, fmt.Errorf("%s: not in the model", at))
		}
	}
	return all
}

func value(s shape, text string) (err error) {
	switch s.Type {
	case "string":
		if len(s.Enum) > 0 && !slices.Contains(s.Enum, text) {
			err = fmt.Errorf("%q is none of %v", text, s.Enum)
		}
	case "integer", "long":
		_, err = strconv.ParseInt(text, 10, 64)
	case "double", "float":
		_, err = strconv.ParseFloat(text, 64)
	case "boolean":
		if text != "true" && text != "false" {
			err = fmt.Errorf("%q is not a boolean", text)
		}
	case "timestamp":
		_, err = time.Parse("2006-01-02T15:04:05.000Z", text)
	default:
		err = fmt.Errorf("a %s is not known here", s.Type)
	}
	return err
}

// The judge itself: what it must not let pass.
func TestModelCatches(t *testing.T) {
	m := loadModel(t)
	response := func(action, body string) []byte {
		return []byte(`<?xml version="1.0"?><` + action + `Response xmlns="` + namespace + `"><requestId>r</requestId>` + body + `</` + action + `Response>`)
	}
	for _, test := range []struct{ name, action, body, want string }{
		{"correct", "AssignPrivateIpAddresses", "<assignedIpv4PrefixSet><item><ipv4Prefix>10.0.0.16/28</ipv4Prefix></item></assignedIpv4PrefixSet>", ""},
		{"misspelt list", "AssignPrivateIpAddresses", "<assignedIpv4Prefixes/>", "not in the model"},
		{"misspelt deep down", "DescribeNetworkInterfaces",
			"<networkInterfaceSet><item><attachment><deviceindex>1</deviceindex></attachment></item></networkInterfaceSet>", "not in the model"},
		{"member instead of item", "DescribeSubnets", "<subnetSet><member/></subnetSet>", "a list's member is <item>"},
		{"word for a number", "DescribeSubnets", "<subnetSet><item><availableIpAddressCount>many</availableIpAddressCount></item></subnetSet>", "invalid syntax"},
		{"unknown state", "DescribeNetworkInterfaces", "<networkInterfaceSet><item><status>ready</status></item></networkInterfaceSet>", "is none of"},
		{"time without milliseconds", "DescribeInstances",
			"<reservationSet><item><instancesSet><item><launchTime>2026-11-20T09:00:00Z</launchTime></item></instancesSet></item></reservationSet>", "cannot parse"},
		{"nothing returned", "DeleteNetworkInterface", "", "<return>true</return>"},
		{"twice", "DescribeVpcs", "<vpcSet/><vpcSet/>", "twice"},
	} {
		t.Run(test.name, func(t *testing.T) {
			err := m.check(test.action, 200, response(test.action, test.body))
			if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
				t.Errorf("check says %v, want %q", err, test.want)
			}
		})
	}
}
