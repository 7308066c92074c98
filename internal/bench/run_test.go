package bench_test

import (
	"testing"

	"github.com/settled-dev/settled/internal/bench"
	"github.com/settled-dev/settled/internal/devstack/redistest"
	"github.com/settled-dev/settled/internal/postgres/pgtest"
)

// The figures of so small a run say nothing; that every row does its work, and leaves books that balance, is the point.
func TestEveryRowDoesItsWorkAndLeavesBooksThatBalance(t *testing.T) {
	t.Parallel()
	report, err := bench.Run(t.Context(), bench.Options{DatabaseURL: pgtest.Server(t), RedisURL: redistest.New(t).URL, Rounds: 1,
		Books: 2, Scale: 0.005, Progress: t.Output()})
	if err != nil {
		t.Fatal(err)
	}
	if report.Audit != "" {
		t.Errorf("audit: %s", report.Audit)
	}
	rows := map[string]bench.Row{}
	for _, row := range report.Rows {
		rows[row.Name] = row
		if row.PerSecond <= 0 || row.Items == 0 {
			t.Errorf("row %s measured %d items at %f per second", row.Name, row.Items, row.PerSecond)
		}
	}
	for _, name := range bench.Rows() {
		if rows[name].Met == nil {
			t.Errorf("row %s was not judged against its target", name)
		}
	}
}
