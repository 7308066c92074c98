package scheduler

import (
	"fmt"
	"time"

	"github.com/settled-dev/settled/internal/clock"
	"github.com/settled-dev/settled/tasks"
)

// Job is work that is due once a day.
type Job struct {
	// Name identifies the job for ever: its slots are stored under it. 1 to 64 bytes.
	Name string
	// At is the time of day in Shanghai at which it is due.
	At TimeOfDay
	// From is the first business date, as 2006-01-02. Defaults to the slot that was due most recently when the job runs first.
	From string
	// Requests are what a slot asks for. It is called with the policy that counts, inside the claim, and perhaps more than once.
	Requests func(policy tasks.Policy, businessDate string) []tasks.Payload
}

// NightlySweep asks at 00:30 for a sweep of every product that the policy offers. At that time a trading day's sweep still belongs to
// that day, and money does not lie unearning over a holiday that begins tomorrow.
func NightlySweep() Job {
	return Job{Name: "sweep", At: TimeOfDay{Hour: 0, Minute: 30}, Requests: sweepEveryProduct}
}

func sweepEveryProduct(policy tasks.Policy, businessDate string) []tasks.Payload {
	payloads := make([]tasks.Payload, len(policy.Products))
	for i, product := range policy.Products {
		payloads[i] = &tasks.Sweep{ProductID: product.ProductID, BusinessDate: businessDate}
	}
	return payloads
}

// TimeOfDay is a time on the clock of Shanghai.
type TimeOfDay struct{ Hour, Minute int }

// UnmarshalText reads "00:30".
func (t *TimeOfDay) UnmarshalText(text []byte) error {
	parsed, err := time.Parse("15:04", string(text))
	if err != nil || len(text) != len("15:04") {
		return &ConfigError{Field: "time of day", Problem: fmt.Sprintf("is %.20q", text), Allowed: "00:00 to 23:59"}
	}
	t.Hour, t.Minute = parsed.Hour(), parsed.Minute()
	return nil
}

// String writes "00:30".
func (t TimeOfDay) String() string { return fmt.Sprintf("%02d:%02d", t.Hour, t.Minute) }

func (t TimeOfDay) valid() bool { return t.Hour >= 0 && t.Hour < 24 && t.Minute >= 0 && t.Minute < 60 }

// day is a business date: midnight in UTC of the Shanghai calendar date.
type day struct{ time.Time }

func dayOf(t time.Time) day {
	year, month, date := t.In(clock.Shanghai).Date()
	return day{time.Date(year, month, date, 0, 0, 0, 0, time.UTC)}
}

func parseDay(text string) (day, error) {
	t, err := time.Parse(time.DateOnly, text)
	return day{t}, err
}

func (d day) plus(days int) day { return day{d.AddDate(0, 0, days)} }

func (d day) String() string { return d.Format(time.DateOnly) }

// dueAt is when the job's slot of a date is due.
func (j Job) dueAt(d day) time.Time {
	year, month, date := d.Date()
	return time.Date(year, month, date, j.At.Hour, j.At.Minute, 0, 0, clock.Shanghai)
}

// next is the slot to claim after last, or the first one when last is nil. It may be due in the future.
func (j Job) next(last *day, now time.Time) day {
	var next day
	if last != nil {
		next = last.plus(1)
	} else if next = dayOf(now); now.Before(j.dueAt(next)) {
		next = next.plus(-1)
	}
	if from, err := parseDay(j.From); err == nil && next.Before(from.Time) {
		return from
	}
	return next
}
