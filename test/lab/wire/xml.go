package wire

import (
	"bytes"
	"encoding/xml"
	"strconv"
	"time"
)

// document is XML under construction: elements in the order of the calls.
type document struct{ bytes.Buffer }

func (d *document) in(name string, content func()) {
	d.WriteString("<" + name + ">")
	content()
	d.WriteString("</" + name + ">")
}

func (d *document) text(name, value string) {
	d.in(name, func() {
		_ = xml.EscapeText(d, []byte(value)) // a buffer does not fail
	})
}

// some writes a text unless it is empty.
func (d *document) some(name, value string) {
	if value != "" {
		d.text(name, value)
	}
}

func (d *document) number(name string, value int) { d.text(name, strconv.Itoa(value)) }

func (d *document) truth(name string, value bool) { d.text(name, strconv.FormatBool(value)) }

// time writes a timestamp as EC2 does: UTC with milliseconds.
func (d *document) time(name string, value time.Time) {
	d.text(name, value.UTC().Format("2006-01-02T15:04:05.000Z"))
}

// list writes a list; every member is an <item>.
func list[T any](d *document, name string, items []T, write func(T)) {
	d.in(name, func() {
		for _, item := range items {
			d.in("item", func() { write(item) })
		}
	})
}

// texts writes a list of plain texts.
func texts[T interface{ String() string }](d *document, name string, items []T) {
	list(d, name, items, func(item T) { _ = xml.EscapeText(d, []byte(item.String())) })
}
