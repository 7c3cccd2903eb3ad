package report

import (
	"fmt"
	"html"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/enichain/enichain/test/bench/figure"
)

// A picture's size and the room around its axes, in pixels.
const (
	wide, high                = 720, 400
	left, right, top, bottom  = 70, 24, 44, 56
	lineHeight                = 18
	fontFamily, grid, inkTone = "system-ui, sans-serif", "#d8dee4", "#1f2328"
)

// tones are told apart by those who see red and green alike, too (Okabe and Ito).
func tone(i int) string {
	return []string{"#0072b2", "#009e73", "#d55e00", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#8c8c8c"}[i%8]
}

// axis maps values to pixels.
type axis struct {
	low, high float64 // of values, after log
	from, to  float64 // pixels
	log       bool
	zero      float64 // what 0 is drawn as on a logarithmic axis
}

func newAxis(values []float64, log bool, from, to float64) axis {
	a := axis{from: from, to: to, log: log}
	var above []float64
	for _, v := range values {
		if v > 0 {
			above = append(above, v)
		}
	}
	if len(above) == 0 {
		above = []float64{1}
	}
	if !log {
		a.low, a.high = min(0, slices.Min(values)), nice(slices.Max(above))
		return a
	}
	a.zero = math.Pow(10, math.Floor(math.Log10(slices.Min(above)))-1)
	if slices.Min(above) < 10 && slices.Min(above) >= 1 {
		a.zero = 0.3
	}
	a.low, a.high = a.of(slices.Min(values)), math.Log10(slices.Max(above))
	if slices.Min(values) > 0 { // begin and end at a power of ten
		a.low = math.Floor(a.low)
		a.high = math.Ceil(a.high)
	}
	if a.high <= a.low {
		a.high = a.low + 1
	}
	return a
}

// nice is the next 1, 2 or 5 of a power of ten.
func nice(v float64) float64 {
	power := math.Pow(10, math.Floor(math.Log10(v)))
	for _, m := range []float64{1, 2, 5} {
		if v <= m*power {
			return m * power
		}
	}
	return 10 * power
}

func (a axis) of(v float64) float64 {
	if !a.log {
		return v
	}
	if v <= 0 {
		v = a.zero
	}
	return math.Log10(v)
}

func (a axis) at(v float64) float64 {
	return a.from + (a.of(v)-a.low)/(a.high-a.low)*(a.to-a.from)
}

// ticks are the values that are written at an axis.
func (a axis) ticks() (all []float64) {
	if !a.log {
		for i := range 6 {
			all = append(all, a.low+(a.high-a.low)*float64(i)/5)
		}
		return all
	}
	steps := []float64{1}
	if a.high-a.low <= 2 {
		steps = []float64{1, 2, 5}
	}
	for e := math.Floor(a.low); e <= a.high; e++ {
		for _, step := range steps {
			if v := step * math.Pow(10, e); a.of(v) >= a.low && a.of(v) <= a.high {
				all = append(all, v)
			}
		}
	}
	return all
}

// SVG draws a picture. What it shows stands in it as text, too, so that it needs nothing beside it.
func SVG(p figure.Picture) string {
	var xs, ys []float64
	for _, l := range p.Lines {
		for i, y := range l.Y {
			if y >= 0 {
				xs, ys = append(xs, l.X[i]), append(ys, y)
			}
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="%s" font-size="12" fill="%s">`+"\n", wide, high+lineHeight*len(p.Lines), fontFamily, inkTone)
	fmt.Fprintf(&b, `<rect width="100%%" height="100%%" fill="#ffffff"/>`+"\n")
	text(&b, left, 24, "start", "font-size=\"15\" font-weight=\"600\"", p.Title)
	var x, y axis
	if len(xs) > 0 {
		x, y = newAxis(xs, p.LogX, left, wide-right), newAxis(ys, p.LogY, high-bottom, top)
		frame(&b, p, x, y, xs)
	}
	for i, l := range p.Lines {
		draw(&b, l, x, y, i)
	}
	b.WriteString("</svg>\n")
	return b.String()
}

// frame draws the axes: at x the values that were measured, at y round ones.
func frame(b *strings.Builder, p figure.Picture, x, y axis, xs []float64) {
	for _, v := range y.ticks() {
		fmt.Fprintf(b, `<path d="M%d %.1fH%d" stroke="%s"/>`+"\n", left, y.at(v), wide-right, grid)
		text(b, left-8, y.at(v)+4, "end", "", short(v))
	}
	slices.Sort(xs)
	for _, v := range slices.Compact(xs) {
		fmt.Fprintf(b, `<path d="M%.1f %dV%d" stroke="%s"/>`+"\n", x.at(v), high-bottom, high-bottom+5, inkTone)
		text(b, x.at(v), high-bottom+20, "middle", "", short(v))
	}
	fmt.Fprintf(b, `<path d="M%d %dH%d" stroke="%s"/>`+"\n", left, high-bottom, wide-right, inkTone)
	text(b, (left+wide-right)/2, high-bottom+40, "middle", "", p.X)
	fmt.Fprintf(b, `<text transform="translate(18 %d) rotate(-90)" text-anchor="middle">%s</text>`+"\n", (top+high-bottom)/2, html.EscapeString(p.Y))
}

// draw draws a line with its points, and its name with its last value below the picture.
func draw(b *strings.Builder, l figure.Line, x, y axis, i int) {
	var points []string
	last := ""
	for k, v := range l.Y {
		if v < 0 {
			continue
		}
		points = append(points, fmt.Sprintf("%.1f,%.1f", x.at(l.X[k]), y.at(v)))
		last = fmt.Sprintf("%s at %s", Number(v, ""), short(l.X[k]))
		fmt.Fprintf(b, `<circle cx="%.1f" cy="%.1f" r="3.5" fill="%s"/>`+"\n", x.at(l.X[k]), y.at(v), tone(i))
	}
	fmt.Fprintf(b, `<polyline points="%s" fill="none" stroke="%s" stroke-width="2"/>`+"\n", strings.Join(points, " "), tone(i))
	at := high + lineHeight*i
	fmt.Fprintf(b, `<path d="M%d %dh24" stroke="%s" stroke-width="4"/>`+"\n", left, at, tone(i))
	name := l.Name
	if last != "" {
		name += ": " + last
	} else {
		name += ": not measured"
	}
	text(b, left+32, float64(at)+4, "start", "", name)
}

func text(b *strings.Builder, x, y float64, anchor, more, s string) {
	if more != "" {
		more = " " + more
	}
	fmt.Fprintf(b, `<text x="%.1f" y="%.1f" text-anchor="%s"%s>%s</text>`+"\n", x, y, anchor, more, html.EscapeString(s))
}

func short(v float64) string { return strconv.FormatFloat(v, 'g', 4, 64) }
