package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/settled-dev/settled/internal/clock"
)

// printJSON writes one value, indented, for programs and for people who asked for all of it.
func printJSON(w io.Writer, value any) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return fmt.Errorf("write JSON: %w", err)
	}
	return nil
}

// table is text in aligned columns.
type table struct {
	columns []column
	rows    [][]string
}

type column struct {
	title string
	right bool // amounts and counts, so that their digits stand under each other
}

func left(title string) column  { return column{title: title} }
func right(title string) column { return column{title: title, right: true} }

// add appends a row; missing cells are empty.
func (t *table) add(cells ...string) { t.rows = append(t.rows, cells) }

// print writes the table, each line after indent and without trailing spaces.
func (t *table) print(w io.Writer, indent string) {
	widths := make([]int, len(t.columns))
	titles := make([]string, len(t.columns))
	for i, column := range t.columns {
		titles[i] = column.title
	}
	lines := append([][]string{titles}, t.rows...)
	for _, line := range lines {
		for i, cell := range line {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	for _, line := range lines {
		var text strings.Builder
		for i, cell := range line {
			padding := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
			if t.columns[i].right {
				text.WriteString(padding + cell)
			} else {
				text.WriteString(cell + padding)
			}
			text.WriteString("  ")
		}
		fmt.Fprintln(w, strings.TrimRight(indent+text.String(), " "))
	}
}

// local writes a time as people in the wallet's country read it.
func local(t time.Time) string { return t.In(clock.Shanghai).Format("2006-01-02 15:04:05.000") }

// after writes how long after another a thing happened, to three digits.
func after(d time.Duration) string {
	switch {
	case d < time.Second:
		return fmt.Sprintf("+%d ms", d.Milliseconds())
	case d < time.Minute:
		return fmt.Sprintf("+%.2f s", d.Seconds())
	default:
		return "+" + d.Round(time.Second).String()
	}
}

// plural writes a count with its noun.
func plural(count int, noun string) string {
	if count == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", count, noun)
}
