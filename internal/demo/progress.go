package demo

import (
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/schollz/progressbar/v3"
)

// Screen is where the demo tells what happens: lines, and one bar at a time.
type Screen struct {
	// Out takes the lines.
	Out io.Writer
	// Terminal says that Out moves its cursor: bars are drawn, otherwise lines are written now and then.
	Terminal bool

	bar *bar
}

// line writes a line; a bar makes room for it.
func (s *Screen) line(format string, args ...any) {
	if s.bar != nil && s.bar.shown != nil {
		_ = s.bar.shown.Clear() // a bar that cannot be drawn is no reason to stop; here and below
	}
	fmt.Fprintln(s.Out, strings.TrimRight(fmt.Sprintf(format, args...), " "))
	if s.bar != nil && s.bar.shown != nil {
		_ = s.bar.shown.RenderBlank()
	}
}

// title begins a part.
func (s *Screen) title(text string) {
	s.line("")
	s.line("%s", text)
	s.line("%s", strings.Repeat("─", len([]rune(text))))
}

// bar is how far one thing is.
type bar struct {
	screen *Screen
	name   string
	total  int
	shown  *progressbar.ProgressBar // nil without a terminal
	told   int                      // fifths, without a terminal
	quiet  bool                     // a bar or nothing
}

// barThrottle is how often a bar is drawn at most.
const barThrottle = 100 * time.Millisecond

// begin starts a bar of so many steps; finish ends it.
func (s *Screen) begin(name string, total int) *bar {
	b := &bar{screen: s, name: name, total: max(total, 1)}
	if s.Terminal {
		b.shown = progressbar.NewOptions(b.total, progressbar.OptionSetWriter(s.Out),
			progressbar.OptionSetDescription(fmt.Sprintf("  %-9s", name)), progressbar.OptionSetWidth(50), progressbar.OptionShowCount(),
			progressbar.OptionSetPredictTime(false), progressbar.OptionThrottle(barThrottle), progressbar.OptionClearOnFinish(),
			progressbar.OptionSetTheme(progressbar.Theme{Saucer: "█", SaucerPadding: "░", BarStart: "", BarEnd: ""}))
	}
	s.bar = b
	return b
}

// set says how many steps are done.
func (b *bar) set(done int) {
	done = min(done, b.total)
	if b.shown != nil {
		_ = b.shown.Set(done)
		return
	}
	if fifth := done * 5 / b.total; fifth > b.told && !b.quiet {
		b.told = fifth
		b.screen.line("  %-9s %s of %s", b.name, grouped(done), grouped(b.total))
	}
}

// finish takes the bar away, once. What it showed is told by a line of its own.
func (b *bar) finish() {
	if b.screen.bar != b {
		return
	}
	if b.shown != nil {
		_ = b.shown.Finish()
		_ = b.shown.Clear()
	}
	b.screen.bar = nil
}

// grouped writes a count with a comma at the thousands.
func grouped[N int | int64](n N) string {
	text := fmt.Sprint(n)
	for at := len(text) - 3; at > 0 && text[at-1] != '-'; at -= 3 {
		text = text[:at] + "," + text[at:]
	}
	return text
}

// columnsMax is how wide the demo's lines are at most.
const columnsMax = 100

// wrapped breaks a text between words into lines of at most so many columns. A longer word has a line of its own.
func wrapped(text string, columns int) []string {
	var lines []string
	width := columns + 1
	for _, word := range strings.Fields(text) {
		length := utf8.RuneCountInString(word)
		if width+1+length > columns {
			lines, width = append(lines, word), length
			continue
		}
		lines[len(lines)-1] += " " + word
		width += 1 + length
	}
	return lines
}

// seconds writes a duration to a tenth of a second.
func seconds(d time.Duration) string { return fmt.Sprintf("%.1f s", d.Seconds()) }

// groupedYuan writes an amount of fen in yuan, with commas.
func groupedYuan(fen int64) string {
	whole, cents, _ := strings.Cut(yuan(fen), ".")
	for at := len(whole) - 3; at > 0 && whole[at-1] != '-'; at -= 3 {
		whole = whole[:at] + "," + whole[at:]
	}
	return whole + "." + cents
}

// milliseconds writes a latency.
func milliseconds(d time.Duration) string {
	if d < time.Second {
		return fmt.Sprintf("%d ms", d.Milliseconds())
	}
	return fmt.Sprintf("%.2f s", d.Seconds())
}
