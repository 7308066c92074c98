package bench

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// Row is one measured piece of work over all rounds.
type Row struct {
	Name      string             `json:"name"`
	Work      string             `json:"work"`
	PerSecond float64            `json:"per_second"` // median of the rounds
	Range     [2]float64         `json:"range"`
	VS        map[string]float64 `json:"vs"` // ratio to a comparator, median of the rounds' ratios
	Target    string             `json:"target,omitempty"`
	Met       *bool              `json:"met,omitempty"`
	CPU       CPU                `json:"cpu"` // of the median round
	Items     int                `json:"items"`
	Note      string             `json:"note,omitempty"`

	rounds []sample
}

// sample is one round of a row.
type sample struct {
	items int
	took  time.Duration
	cpu   CPU
}

func (s sample) perSecond() float64 { return float64(s.items) / s.took.Seconds() }

// Report is a run.
type Report struct {
	Machine string `json:"machine"`
	Rounds  int    `json:"rounds"`
	Rows    []Row  `json:"rows"`
	Audit   string `json:"audit"`
}

// OK says whether every target was met and the books balance.
func (r *Report) OK() bool {
	return r.Audit == "" && !slices.ContainsFunc(r.Rows, func(row Row) bool { return row.Met != nil && !*row.Met })
}

// WriteJSON writes the report as one JSON object.
func (r *Report) WriteJSON(w io.Writer) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	return encoder.Encode(r)
}

// WriteText writes the report as a table.
func (r *Report) WriteText(w io.Writer) {
	fmt.Fprintf(w, "%s, %d rounds, medians (range)\n\n", r.Machine, r.Rounds)
	fmt.Fprintf(w, "%-16s %22s  %-34s %-26s %s\n", "row", "per second", "against", "target", "CPU us each: settled/pg/redis")
	for _, row := range r.Rows {
		met := ""
		if row.Met != nil {
			met = map[bool]string{true: " ok", false: " MISSED"}[*row.Met]
		}
		fmt.Fprintf(w, "%-16s %9.0f (%5.0f-%6.0f)  %-34s %-26s %s\n", row.Name, row.PerSecond, row.Range[0], row.Range[1],
			ratios(row.VS), row.Target+met, row.cpuEach())
		if row.Note != "" {
			fmt.Fprintf(w, "%16s %s\n", "", row.Note)
		}
	}
	fmt.Fprintln(w)
	for _, row := range r.Rows {
		fmt.Fprintf(w, "%-16s %s\n", row.Name, row.Work)
	}
	if r.Audit == "" {
		fmt.Fprintln(w, "\naudit: every invariant holds after the run")
	} else {
		fmt.Fprintln(w, "\naudit:", r.Audit)
	}
}

func (r *Row) cpuEach() string {
	if r.Items == 0 {
		return ""
	}
	each := func(d time.Duration) float64 { return float64(d.Microseconds()) / float64(r.Items) }
	return fmt.Sprintf("%.0f/%.0f/%.0f", each(r.CPU.Settled), each(r.CPU.Postgres), each(r.CPU.Redis))
}

func ratios(vs map[string]float64) string {
	var parts []string
	for _, name := range slices.Sorted(keysOf(vs)) {
		parts = append(parts, fmt.Sprintf("%.2f x %s", vs[name], name))
	}
	return strings.Join(parts, ", ")
}

func keysOf(m map[string]float64) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

// conclude computes a row's figures from its rounds.
func (r *Row) conclude() {
	if len(r.rounds) == 0 {
		return
	}
	rates := make([]float64, len(r.rounds))
	for i, s := range r.rounds {
		rates[i] = s.perSecond()
	}
	r.PerSecond, r.Range = median(rates), [2]float64{slices.Min(rates), slices.Max(rates)}
	best := r.rounds[0]
	for _, s := range r.rounds {
		if abs(s.perSecond()-r.PerSecond) < abs(best.perSecond()-r.PerSecond) {
			best = s
		}
	}
	r.CPU, r.Items = best.cpu, best.items
}

// against adds the ratio to a comparator's row, round by round.
func (r *Row) against(name string, other *Row) {
	var rates []float64
	for i := range min(len(r.rounds), len(other.rounds)) {
		rates = append(rates, r.rounds[i].perSecond()/other.rounds[i].perSecond())
	}
	if len(rates) == 0 {
		return
	}
	if r.VS == nil {
		r.VS = map[string]float64{}
	}
	r.VS[name] = median(rates)
}

func (r *Row) judge(met bool) { r.Met = &met }

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	if n%2 == 1 {
		return sorted[n/2]
	}
	return (sorted[n/2-1] + sorted[n/2]) / 2
}

func abs(x float64) float64 { return max(x, -x) }
