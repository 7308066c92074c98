package wealth

import (
	"fmt"

	"github.com/settled-dev/settled/ledger"
	"github.com/settled-dev/settled/money"
	"github.com/settled-dev/settled/tasks"
)

// SweepRun is the rule of sweep:run: it asks every book to sweep its own users. It moves nothing itself.
func SweepRun() ledger.Rule {
	return ledger.NewRule(func(*tasks.Sweep, *ledger.Reads) {}, runSweep)
}

func runSweep(s *ledger.State, _ *ledger.Request, p *tasks.Sweep) ledger.Decision {
	if _, offered := s.Policy().Product(p.ProductID); !offered {
		return notOffered(p.ProductID)
	}
	d := ledger.Apply(fmt.Sprintf("asked of %d books", s.Books()))
	for book := range s.Books() {
		d.FollowUps = append(d.FollowUps, &tasks.SweepPart{ProductID: p.ProductID, BusinessDate: p.BusinessDate, Book: book})
	}
	return d
}

// SweepChunk is the rule of sweep:chunk: it sweeps the next users of one book, as many as the policy's SweepUsersMax, and asks for
// the part after them.
func SweepChunk() ledger.Rule { return ledger.NewRule(readPart, sweepPart) }

func readPart(p *tasks.SweepPart, r *ledger.Reads) { r.SweepPage(p.ProductID, p.AfterUserID) }

func sweepPart(s *ledger.State, _ *ledger.Request, p *tasks.SweepPart) ledger.Decision {
	product, offered := s.Policy().Product(p.ProductID)
	if !offered {
		return notOffered(p.ProductID)
	}
	page := s.SweepPage(p.ProductID, p.AfterUserID)
	d := ledger.Apply("")
	d.Transfers = make([]ledger.Transfer, 0, len(page))
	d.Subscriptions = make([]ledger.Subscription, 0, len(page))
	var swept money.Amount
	for _, enrolment := range page {
		surplus := Surplus(enrolment, product)
		if surplus.IsZero() {
			continue
		}
		d.Subscriptions = append(d.Subscriptions, ledger.Subscription{ProductID: p.ProductID, BusinessDate: p.BusinessDate,
			UserID: enrolment.UserID, Amount: surplus, Keep: enrolment.Keep, CashAfter: enrolment.Cash.Balance().Sub(surplus),
			Transfer: len(d.Transfers)})
		d.Move(enrolment.Cash, enrolment.Wealth, surplus)
		swept = swept.Add(surplus)
	}
	if len(page) > 0 && len(page) >= s.Policy().SweepUsersMax {
		d.FollowUps = []tasks.Payload{&tasks.SweepPart{ProductID: p.ProductID, BusinessDate: p.BusinessDate, Book: p.Book,
			AfterUserID: page[len(page)-1].UserID}}
	}
	return d.WithDetail(fmt.Sprintf("%d users seen, %d swept, %s in all", len(page), len(d.Transfers), swept))
}

// Surplus is what a sweep takes from a user now: all that is available above the keep amount, or zero when that is less than the
// product's smallest subscription.
func Surplus(enrolment ledger.Enrolment, product tasks.Product) money.Amount {
	surplus := enrolment.Cash.Available().Sub(enrolment.Keep)
	if !surplus.IsPositive() || surplus.Cmp(product.MinSweep) < 0 {
		return money.Amount{}
	}
	return surplus
}
