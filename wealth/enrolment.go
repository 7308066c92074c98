package wealth

import (
	"github.com/settled-dev/settled/ledger"
	"github.com/settled-dev/settled/tasks"
)

// Enrol is the rule of wealth:enrol. It opens the accounts that a sweep needs, so that a sweep opens none.
func Enrol() ledger.Rule { return ledger.NewRule(readEnrolment, enrol) }

func readEnrolment(p *tasks.Enrolment, r *ledger.Reads) {
	r.Account(ledger.UserCash(p.UserID))
	r.Account(ledger.UserWealth(p.UserID, p.ProductID))
	r.Enrolment(p.ProductID, p.UserID)
}

func enrol(s *ledger.State, _ *ledger.Request, p *tasks.Enrolment) ledger.Decision {
	if _, offered := s.Policy().Product(p.ProductID); !offered {
		return notOffered(p.ProductID)
	}
	if standing, enrolled := s.Enrolment(p.ProductID, p.UserID); enrolled && p.OccurredAt.Before(standing.OccurredAt) {
		return ledger.Apply("a later consent already keeps " + standing.Keep.String())
	}
	cash, shares := s.Account(ledger.UserCash(p.UserID)), s.Account(ledger.UserWealth(p.UserID, p.ProductID))
	d := ledger.Apply("keeps " + p.KeepAmount.String())
	for _, account := range []*ledger.Account{cash, shares} {
		if !account.Exists() {
			d.Opens = append(d.Opens, account)
		}
	}
	d.Enrolments = []ledger.Enrolment{{ProductID: p.ProductID, UserID: p.UserID, Keep: p.KeepAmount, ConsentVersion: p.ConsentVersion,
		OccurredAt: p.OccurredAt, Cash: cash, Wealth: shares}}
	return d
}

func notOffered(productID string) ledger.Decision {
	return ledger.Reject(tasks.ProductNotOffered, "product "+productID+" is not offered")
}
