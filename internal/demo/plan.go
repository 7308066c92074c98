package demo

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/settled-dev/settled/internal/clock"
	"github.com/settled-dev/settled/money"
	"github.com/settled-dev/settled/tasks"
)

// PlanConfig says how large a day is.
type PlanConfig struct {
	Seed     uint64
	Users    int
	Requests int       // how often producers ask, repeats and conflicts included
	Date     time.Time // a moment of the day, in Shanghai's calendar
}

// Plan is a day's requests. The same configuration gives the same plan.
type Plan struct {
	Morning []Scene // what users get first; all of it is applied before the day begins
	Day     []Scene
	Users   []string
}

// Scene is a short story about one order or user. Its turns are taken one after the other, with those of other scenes in between.
type Scene []Turn

// Turn is one step of a scene.
type Turn struct {
	Ask    *Ask
	Copies int // how many producers ask at the same moment; 0 is 1
	// Other is other content under the ask's key: it is asked instead, and must be refused as a conflict. The ask itself came
	// earlier in the scene.
	Other tasks.Payload
}

func (t Turn) copies() int { return max(1, t.Copies) }

// requests is how often the scene asks.
func (s Scene) requests() int {
	n := 0
	for _, turn := range s {
		n += turn.copies()
	}
	return n
}

// Amounts of the plan, in fen.
const (
	// hopeless is more than anybody can ever have.
	hopeless = 9_000_000_00
	// merchantCount is small enough that each merchant's account is hot, as a big shop's is.
	merchantCount = 20
	campaignCount = 3
)

// perMille of what is asked is asked twice, or again with other content.
const (
	twiceAtOncePerMille = 25
	againPerMille       = 35
	conflictPerMille    = 25
)

// planner draws a plan. What users have is what they were given in the morning and have not spent since.
type planner struct {
	config PlanConfig
	rng    *rand.Rand
	began  time.Time // first moment of the day
	users  []purse
	rivals []purse // they play in contests only, so what they have is known exactly
	made   int     // numbers what is made
	asked  int
}

// purse is what a user can surely spend, in fen.
type purse struct {
	id           string
	cash, reward int64
	sends        int             // transfers to others: a day has the default policy's, and the cash stays below its amount
	fundedBy     *tasks.Recharge // of the morning
}

// NewPlan draws a plan.
func NewPlan(config PlanConfig) *Plan {
	p := &planner{config: config, rng: rand.New(rand.NewPCG(config.Seed, 1))}
	year, month, day := config.Date.In(clock.Shanghai).Date()
	p.began = time.Date(year, month, day, 0, 0, 0, 0, clock.Shanghai)
	plan := &Plan{}
	for i := range config.Users {
		id := fmt.Sprintf("u%05d", i)
		plan.Users = append(plan.Users, id)
		if i%25 == 24 {
			p.rivals = append(p.rivals, purse{id: id})
		} else {
			p.users = append(p.users, purse{id: id})
		}
	}
	plan.Morning = p.morning()
	for p.asked < config.Requests {
		scene := p.scene()
		if left := config.Requests - p.asked; scene.requests() > left {
			scene = p.reward()[:1]
		}
		p.asked += scene.requests()
		plan.Day = append(plan.Day, scene)
	}
	return plan
}

// morning gives every user cash, and every third one a reward.
func (p *planner) morning() []Scene {
	var scenes []Scene
	give := func(user *purse, fen int64) {
		ask := p.recharge(user.id, fen)
		user.cash, user.fundedBy = fen, ask.Payload.(*tasks.Recharge)
		scenes = append(scenes, Scene{{Ask: ask}})
	}
	for i := range p.rivals {
		give(&p.rivals[i], rivalCash)
	}
	for i := range p.users {
		user := &p.users[i]
		give(user, p.between(100_00, 500_00))
		if i%3 == 0 {
			ask := p.grant(user.id, p.between(5_00, 30_00))
			user.reward = ask.Moves.Fen
			scenes = append(scenes, Scene{{Ask: ask}})
		}
	}
	p.asked += len(scenes)
	p.rng.Shuffle(len(scenes), func(i, j int) { scenes[i], scenes[j] = scenes[j], scenes[i] })
	return scenes
}

// between draws from lo to hi, both included.
func (p *planner) between(lo, hi int64) int64 { return lo + p.rng.Int64N(hi-lo+1) }

// chance is true in so many of a thousand draws.
func (p *planner) chance(perMille int) bool { return p.rng.IntN(1000) < perMille }

// id makes an id that no other request has.
func (p *planner) id(prefix string) string {
	p.made++
	return fmt.Sprintf("%s%06d", prefix, p.made)
}

// when spreads what is made over the day.
func (p *planner) when() time.Time {
	return p.began.Add(24 * time.Hour * time.Duration(p.made%p.config.Requests) / time.Duration(p.config.Requests)).Truncate(time.Second)
}

func (p *planner) anyone() *purse { return &p.users[p.rng.IntN(len(p.users))] }

// someoneWith finds a user who can surely spend so much, or nil.
func (p *planner) someoneWith(cash, reward int64) *purse {
	for range 50 {
		if user := p.anyone(); user.cash >= cash && user.reward >= reward {
			return user
		}
	}
	return nil
}

func (p *planner) merchant() string { return fmt.Sprintf("shop%02d", p.rng.IntN(merchantCount)) }

func (p *planner) channel() tasks.Source {
	channels := tasks.Channels()
	return channels[p.rng.IntN(len(channels))]
}

func (p *planner) recharge(userID string, fen int64) *Ask {
	id, channel := p.id("rc"), p.channel()
	ask := &Ask{Key: id, Fate: FateApplied, Payload: &tasks.Recharge{RechargeID: id, UserID: userID, Channel: channel,
		ChannelTxnID: string(channel) + "-" + id, Amount: money.FromFen(fen), OccurredAt: p.when()}}
	ask.move(channelHolder(channel), cashOf(userID), fen)
	return ask
}

// paidAt makes a recharge one that its user pays at its channel.
func paidAt(ask *Ask) *Ask {
	recharge := ask.Payload.(*tasks.Recharge)
	ask.RechargeOrder = &tasks.RechargeOrder{RechargeID: recharge.RechargeID, UserID: recharge.UserID, Channel: recharge.Channel,
		Amount: recharge.Amount}
	return ask
}

func (p *planner) grant(userID string, fen int64) *Ask {
	id, campaign := p.id("rw"), fmt.Sprintf("spring%d", p.rng.IntN(campaignCount))
	ask := &Ask{Key: id, Fate: FateApplied, Payload: &tasks.Reward{RewardID: id, UserID: userID, CampaignID: campaign,
		Amount: money.FromFen(fen), OccurredAt: p.when()}}
	ask.move(promotionOf(campaign), rewardOf(userID), fen)
	return ask
}

func (p *planner) transfer(from, to string, fen int64) *Ask {
	id := p.id("tr")
	ask := &Ask{Key: id, Fate: FateApplied, Payload: &tasks.Transfer{TransferID: id, FromUserID: from, ToUserID: to,
		Amount: money.FromFen(fen), OccurredAt: p.when()}}
	ask.move(cashOf(from), cashOf(to), fen)
	return ask
}

// withRepeats asks some of a scene's turns twice at once, again later, or again with other content.
func (p *planner) withRepeats(scene Scene) Scene {
	asks := len(scene)
	for i := range asks {
		if _, once := scene[i].Ask.Payload.(*tasks.Suspension); once {
			continue // its key is known when it is paid
		}
		switch turn := scene[i]; {
		case p.chance(twiceAtOncePerMille):
			scene[i].Copies = 2
		case p.chance(againPerMille):
			scene = append(scene, Turn{Ask: turn.Ask})
		case p.chance(conflictPerMille) && turn.Ask.RechargeOrder == nil:
			if other := otherContent(turn.Ask.Payload); other != nil {
				scene = append(scene, Turn{Ask: turn.Ask, Other: other})
			}
		}
	}
	return scene
}

// otherContent is the payload with a fen more; nil when its lines would no longer add up.
func otherContent(payload tasks.Payload) tasks.Payload {
	fen := money.FromFen(1)
	switch p := payload.(type) {
	case *tasks.Recharge:
		other := *p
		other.Amount = p.Amount.Add(fen)
		return &other
	case *tasks.Reward:
		other := *p
		other.Amount = p.Amount.Add(fen)
		return &other
	case *tasks.Transfer:
		other := *p
		other.Amount = p.Amount.Add(fen)
		return &other
	case *tasks.Refund:
		other := *p
		other.Amount = p.Amount.Add(fen)
		if len(p.Lines) == 0 {
			return &other
		}
	case *tasks.Payment:
		other := *p
		other.Legs = append([]tasks.Leg(nil), p.Legs...)
		other.Legs[0].Amount = p.Legs[0].Amount.Add(fen)
		if len(p.Lines) == 0 {
			return &other
		}
	}
	return nil
}
