package chain

import (
	"context"
	"fmt"
	"strings"

	"github.com/enichain/enichain/chain/contract"
)

// Fusion is a list whose entries were put together, or taken apart.
type Fusion struct {
	Text   []byte     // of the file; what is not concerned stays byte for byte
	Groups [][]string // the stages of each fused entry of it, or of each that was taken apart
	Alone  []string   // the plugins that stand beside them
}

// Fuse puts neighbouring stages that are in the fused plugin into one entry of it; a stage that stands alone, other people's
// plugins and drop-ins stay as they are. Entries that are fused already grow. What each stage does stays the same, and so
// do its keys.
func Fuse(ctx context.Context, l *List, c Contracts) (Fusion, error) {
	l, err := l.apart()
	if err != nil {
		return Fusion{}, err
	}
	inside := c.Of(ctx, contract.Fused, nil).Stages
	if len(inside) == 0 {
		return Fusion{}, fmt.Errorf("cannot fuse %s: nobody says which stages %s has in it", l.Name, contract.Fused)
	}
	f := Fusion{}
	var edits []edit
	stages := l.Stages[:l.inline]
	for i := 0; i < len(stages); {
		end := i
		for end < len(stages) {
			_, known := inside[stages[end].Type]
			if _, spelled := stages[end].at.member("type"); !known || !spelled {
				break
			}
			end++
		}
		if end-i < 2 {
			f.Alone = append(f.Alone, stages[i].Type)
			i++
			continue
		}
		edits = append(edits, fused(stages[i:end]))
		f.Groups = append(f.Groups, typesOf(stages[i:end]))
		i = end
	}
	f.Text = apply(l.src.text, edits)
	return f, nil
}

// Unfuse gives each stage of the fused entries an entry of its own again.
func Unfuse(l *List) (Fusion, error) {
	if l.src == nil || l.src.root == nil || l.Single {
		return Fusion{}, fmt.Errorf("cannot change %s: it is no list in a text", l.Name)
	}
	f := Fusion{}
	var edits []edit
	for _, s := range l.Stages[:l.inline] {
		switch fault := fusedFault(s); {
		case s.Type != contract.Fused:
			f.Alone = append(f.Alone, s.Type)
		case fault != "":
			return Fusion{}, fmt.Errorf("cannot take the entry in line %d apart: %s", s.Line, fault)
		default:
			edits = append(edits, apart(s))
			f.Groups = append(f.Groups, typesOf(s.parts(0)))
		}
	}
	f.Text = apply(l.src.text, edits)
	return f, nil
}

// apart is the list without fused entries.
func (l *List) apart() (*List, error) {
	f, err := Unfuse(l)
	if err != nil {
		return nil, err
	}
	again, problems := Parse(l.Path, f.Text)
	if again == nil {
		return nil, fmt.Errorf("cannot take %s apart: %v", l.Name, problems)
	}
	return again, nil
}

func (l *List) fused() bool {
	for _, s := range l.Stages[:l.inline] {
		if s.Type == contract.Fused {
			return true
		}
	}
	return false
}

func typesOf(stages []Stage) (types []string) {
	for _, s := range stages {
		types = append(types, s.Type)
	}
	return types
}

// deeperBy is by how much the stages of a fused entry stand further in than the entry: two levels of two spaces.
const deeperBy = "    "

// fused makes one entry of several that stand side by side, with their text as it is.
func fused(stages []Stage) edit {
	src := stages[0].src
	start, end := stages[0].at.start, stages[len(stages)-1].at.end
	on := map[string]bool{}
	for _, s := range stages {
		for _, name := range s.Capabilities() {
			on[name] = true
		}
	}
	head := []string{fmt.Sprintf("%q: %q", "type", contract.Fused)}
	if len(on) > 0 {
		var pairs []pair
		for _, name := range keysOf(on) {
			pairs = append(pairs, pair{name, []byte("true")})
		}
		head = append(head, `"capabilities": `+string(object(pairs)))
	}
	body := string(src.text[start:end])
	if !strings.Contains(body, "\n") {
		return edit{start, end, "{ " + strings.Join(head, ", ") + fmt.Sprintf(", %q: [ %s ] }", contract.FusedKey, body)}
	}
	in := src.indent(start)
	body = strings.ReplaceAll(body, "\n", "\n"+deeperBy)
	return edit{start, end, "{\n" + in + "  " + strings.Join(head, ",\n"+in+"  ") + fmt.Sprintf(",\n%s  %q: [\n", in, contract.FusedKey) +
		in + deeperBy + body + "\n" + in + "  ]\n" + in + "}"}
}

// apart is the text of a fused entry's stages in the place of the entry.
func apart(s Stage) edit {
	m, _ := s.at.member(contract.FusedKey)
	items := m.value.items
	body := string(s.src.text[items[0].start:items[len(items)-1].end])
	outer, inner := s.src.indent(s.at.start), s.src.indent(items[0].start)
	if further, ok := strings.CutPrefix(inner, outer); ok && further != "" {
		body = strings.ReplaceAll(body, "\n"+inner, "\n"+outer)
	}
	return edit{s.at.start, s.at.end, body}
}

// indent is the white space that the line of an offset begins with.
func (s *source) indent(offset int) string {
	line := string(s.text[:offset])
	line = line[strings.LastIndexByte(line, '\n')+1:]
	return line[:len(line)-len(strings.TrimLeft(line, " \t"))]
}
