package bench

import (
	"strings"
	"testing"
	"time"
)

func rowOf(name string, items int, took ...time.Duration) *Row {
	row := &Row{Name: name}
	for _, d := range took {
		row.rounds = append(row.rounds, sample{items: items, took: d})
	}
	row.conclude()
	return row
}

func TestARatioIsTheMedianOfTheRoundsRatios(t *testing.T) {
	t.Parallel()
	// The machine was four times slower in the last two rounds; both rows were.
	base := rowOf("base", 100, time.Second, 4*time.Second, 4*time.Second)
	row := rowOf("row", 100, 2*time.Second, 8*time.Second, 8*time.Second)
	row.against("base", base)
	if row.VS["base"] != 0.5 {
		t.Errorf("ratio is %f, want 0.5", row.VS["base"])
	}
	if base.PerSecond != 25 || base.Range != [2]float64{25, 100} {
		t.Errorf("base is %f in %v, want the median 25 in [25 100]", base.PerSecond, base.Range)
	}
}

func TestAMissedTargetIsShouted(t *testing.T) {
	t.Parallel()
	row := rowOf("row", 100, time.Second)
	row.Target = ">= 2x base"
	row.judge(false)
	report := Report{Rows: []Row{*row}}
	var text strings.Builder
	report.WriteText(&text)
	if report.OK() || !strings.Contains(text.String(), "MISSED") {
		t.Errorf("report is OK %v and says:\n%s", report.OK(), &text)
	}
}
