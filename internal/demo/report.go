package demo

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/settled-dev/settled/ledger"
)

// findingsShown is how many findings of a kind are told; the first ones lead to the others.
const findingsShown = 5

// printCounts tells what became of everything, by the producers' record and by the books.
func (r *run) printCounts(c Counts) {
	row := func(name string, record, books int) {
		r.screen.line("  %-34s %11s %11s", name, grouped(record), grouped(books))
	}
	alone := func(name string, record int) { r.screen.line("  %-34s %11s", name, grouped(record)) }
	r.screen.title("What became of it")
	r.screen.line("  %-34s %11s %11s", "", "by record", "by books")
	alone("asked by producers", c.Tally.Asked)
	alone("  replays, told the stored answer", c.Tally.Replayed)
	row("  conflicts, refused and recorded", c.Tally.Conflicts, c.Books.Conflicts)
	row("  accepted", c.Tally.Accepted, c.Accepted)
	row("    applied", c.Expected.Applied, c.Found.Applied)
	row("    rejected", c.Expected.rejected(), c.Found.rejected())
	reasons := maps.Clone(c.Expected.Rejected)
	maps.Copy(reasons, c.Found.Rejected)
	for _, reason := range slices.Sorted(maps.Keys(reasons)) {
		row("      "+string(reason), c.Expected.Rejected[reason], c.Found.Rejected[reason])
	}
	row("    parked, their order never came", c.Expected.Parked, c.Found.Parked)
	row("    dead, waiting for a person", 0, c.Found.Dead)
	if c.Found.Undecided > 0 {
		row("    undecided", 0, c.Found.Undecided)
	}
	row("payments at channels, by theirs", c.Payments, len(c.Books.Payments))
	r.screen.line("  %-34s %11s %11s", "follow-ups by settled itself", "", grouped(c.Books.FollowUps))
}

// printAudit tells each invariant as the audit found it.
func (r *run) printAudit(audit ledger.AuditReport) {
	r.screen.title("Audit")
	for _, check := range audit.Checks {
		verdict := "holds"
		if check.Broken != "" {
			verdict = "BROKEN"
		}
		head := fmt.Sprintf("  %-3s %-6s %9s rows  ", check.Invariant, verdict, grouped(check.Rows))
		text := check.Statement
		if check.Broken != "" {
			text += "; first: " + check.Broken
		}
		for _, part := range wrapped(text, columnsMax-len(head)) {
			r.screen.line("%s%s", head, part)
			head = strings.Repeat(" ", len(head))
		}
	}
}

// printFindings tells the first findings, if there are any.
func (r *run) printFindings(v *Verdict) {
	for _, kind := range []struct {
		name     string
		findings []string
	}{{"lost", v.Lost}, {"doubled", v.Doubled}} {
		for i, finding := range kind.findings {
			if i == findingsShown {
				r.screen.line("  … and %s more", grouped(len(kind.findings)-i))
				break
			}
			r.screen.line("  %s: %s", kind.name, finding)
		}
	}
}

// printSpeed tells how fast the day and the night went.
func (r *run) printSpeed() {
	row := func(name, value string) { r.screen.line("  %-34s %11s", name, value) }
	r.screen.line("")
	row("the day's requests/s", grouped(perSecond(r.dayPace.Decided, r.dayPace.Took)))
	row("  requests/commit", fmt.Sprintf("%.1f", float64(r.dayPace.Decided)/float64(max(r.dayPace.Commits, 1))))
	row("  from accepted to applied, p50", milliseconds(r.dayPace.P50))
	row("  p99", milliseconds(r.dayPace.P99))
	row("  longest, over kill and wipe", milliseconds(r.dayPace.Max))
	row("the night's users/s", grouped(perSecond(r.config.Enrolled, r.sweepTook)))
	r.screen.line("  the day was %s", r.load.bound(r.config.Rate))
}

func perSecond(n int, took time.Duration) int { return int(float64(n) / max(took.Seconds(), 0.001)) }

// judge reads the books, compares them with the record, audits them, and prints all of it.
func (r *run) judge(ctx context.Context) error {
	var audit ledger.AuditReport
	var auditErr error
	var auditing sync.WaitGroup
	auditing.Go(func() { audit, auditErr = r.reader.Audit(ctx) })
	books, err := ReadBooks(ctx, r.pool)
	if err != nil {
		auditing.Wait()
		return err
	}
	verdict := Judge(r.record, r.config.Channels.Simulator.Record(), books)
	if auditing.Wait(); auditErr != nil {
		return auditErr
	}
	r.printCounts(verdict.Counts)
	r.printSpeed()
	r.printAudit(audit)
	r.screen.line("")
	r.printFindings(verdict)
	balance := "books balance"
	if !audit.OK() {
		balance = "BOOKS DO NOT BALANCE"
	}
	r.screen.line("lost %s · doubled %s · %s", grouped(len(verdict.Lost)), grouped(len(verdict.Doubled)), balance)
	if !verdict.OK() || !audit.OK() {
		return ErrNotSo
	}
	return nil
}
