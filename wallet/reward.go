package wallet

import (
	"github.com/settled-dev/settled/ledger"
	"github.com/settled-dev/settled/tasks"
)

// RewardGrant is the rule of reward:grant: a campaign's gift becomes the user's reward. It is never refused.
func RewardGrant() ledger.Rule { return ledger.NewRule(readReward, grantReward) }

func readReward(p *tasks.Reward, r *ledger.Reads) { r.Account(ledger.UserReward(p.UserID)) }

func grantReward(s *ledger.State, _ *ledger.Request, p *tasks.Reward) ledger.Decision {
	d := ledger.Apply("")
	d.Move(s.Account(ledger.Promotion(p.CampaignID)), s.Account(ledger.UserReward(p.UserID)), p.Amount)
	return d
}
