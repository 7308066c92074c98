package proof_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/settled-dev/settled/internal/clock"
	"github.com/settled-dev/settled/internal/postgres/pgtest"
	"github.com/settled-dev/settled/ledger"
	"github.com/settled-dev/settled/ledger/ledgertest"
	"github.com/settled-dev/settled/money"
	"github.com/settled-dev/settled/tasks"
)

// rolling is a system while a deployment rolls: an API and a worker of each version, on one PostgreSQL that the newer one has migrated,
// and one Redis.
type rolling struct {
	*stack
	key     string
	paths   []string // of the programs: the version before, and this one
	mu      sync.Mutex
	apis    []*process
	workers []*process
}

func newRolling(t *testing.T) *rolling {
	t.Helper()
	r := &rolling{paths: []string{olderPath(t), settledPath(t)}, apis: make([]*process, 2), workers: make([]*process, 2)}
	r.stack = newStack(t, pgtest.New(t, pgtest.MaxConns(4)))
	create := exec.Command(r.paths[1], "key", "create", "--producer", "shop", "--scope", "admin", "--database-url", r.db.URL)
	key, err := create.Output()
	if err != nil {
		t.Fatal(err)
	}
	r.key = strings.TrimSpace(string(key))
	for version := range r.paths {
		r.startAPI(t, version)
		r.startWorkerOf(t, version)
	}
	return r
}

func (r *rolling) startAPI(t *testing.T, version int) {
	t.Helper()
	api := r.startProgram(t, r.paths[version], r.db.URL, "api", "--listen", "127.0.0.1:0", "--metrics-listen", "off")
	r.mu.Lock()
	defer r.mu.Unlock()
	r.apis[version] = api
}

func (r *rolling) startWorkerOf(t *testing.T, version int) {
	t.Helper()
	r.workers[version] = r.startProgram(t, r.paths[version], r.db.URL, workerArguments...)
}

// replace ends a version's API and worker by a signal, and starts them again.
func (r *rolling) replace(t *testing.T, version int, signal syscall.Signal) {
	t.Helper()
	for _, p := range []*process{r.apis[version], r.workers[version]} {
		if signal == syscall.SIGKILL {
			p.kill()
		} else {
			p.stop(t)
		}
	}
	r.startAPI(t, version)
	r.startWorkerOf(t, version)
}

var listens = regexp.MustCompile(`api listens.* address=(\S+)`)

// post asks the API of a version for requests of one kind until it answers, and says how many it accepted and found stored. What an API
// leaves unanswered because it ends is asked again.
func (r *rolling) post(ctx context.Context, version int, kind tasks.Kind, list []byte) (accepted, replayed int, err error) {
	for ctx.Err() == nil {
		r.mu.Lock()
		api := r.apis[version]
		r.mu.Unlock()
		var response *http.Response
		if found := listens.FindStringSubmatch(api.said.String()); found != nil {
			request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+found[1]+"/v1/requests/"+string(kind)+"/bulk", bytes.NewReader(list))
			if err != nil {
				return 0, 0, err
			}
			request.Header.Set("Authorization", "Bearer "+r.key)
			request.Header.Set("Content-Type", "application/json")
			response, _ = http.DefaultClient.Do(request)
		}
		if response == nil || response.StatusCode >= http.StatusInternalServerError {
			<-clock.System.After(5 * time.Millisecond)
			continue
		}
		var answer struct{ Accepted, Replayed, Conflicts, Refused int }
		err := json.NewDecoder(response.Body).Decode(&answer)
		_ = response.Body.Close()
		switch {
		case response.StatusCode != http.StatusOK || answer.Conflicts+answer.Refused > 0:
			return 0, 0, fmt.Errorf("version %d answers %s, %+v for %s %s", version, response.Status, answer, kind, list)
		case err == nil:
			return answer.Accepted, answer.Replayed, nil
		}
	}
	return 0, 0, ctx.Err()
}

// ask asks both versions for everything, each in small lists and in an order of its own. What one accepts is a replay for the other: they
// agree on every text.
func (r *rolling) ask(t *testing.T, payloads ...tasks.Payload) {
	t.Helper()
	lists := map[tasks.Kind][]string{}
	for _, payload := range payloads {
		request, err := tasks.NewRequest(payload, r.client.Books(), ledgertest.Noon)
		if err != nil {
			t.Fatal(err)
		}
		lists[request.Kind] = append(lists[request.Kind], string(request.Payload))
	}
	var asking sync.WaitGroup
	for version := range r.paths {
		for kind, list := range lists {
			mine := slices.Clone(list)
			rand.Shuffle(len(mine), func(i, j int) { mine[i], mine[j] = mine[j], mine[i] })
			asking.Go(func() {
				for some := range slices.Chunk(mine, 5) {
					accepted, replayed, err := r.post(t.Context(), version, kind, []byte("["+strings.Join(some, ",")+"]"))
					if err != nil || accepted+replayed != len(some) {
						t.Errorf("of %d %s %d are accepted and %d stored before: %v", len(some), kind, accepted, replayed, err)
					}
				}
			})
		}
	}
	asking.Wait()
}

// decided waits for n outcomes. The relay's pauses are not what is tested.
func (r *rolling) decided(t *testing.T, books *ledgertest.Books, n int) {
	t.Helper()
	looks := 0
	eventually(t, fmt.Sprint(n, " requests are decided"), func() bool {
		if looks++; looks%100 == 0 {
			if _, err := books.Ledger.MakeAllDue(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		return r.count(t, "SELECT count(*) FROM outcomes") >= n
	})
}

const rollingUsers = 40

// funds are what each user has before he buys.
func rollingFunds() (payloads []tasks.Payload) {
	for i := range rollingUsers {
		user := fmt.Sprint("u", i)
		payloads = append(payloads, ledgertest.Reward("w"+user, user, "10.00"), ledgertest.Enrolment("e"+user, user, "20.00"))
		for j := range 4 {
			payloads = append(payloads, ledgertest.Recharge(fmt.Sprint("r", j, user), user, "25.00"))
		}
	}
	return payloads
}

// purchases are an order of each user, three refunds of a fourth of it, and cash for the next user.
func rollingPurchases() (payloads []tasks.Payload) {
	for i := range rollingUsers {
		user, next := fmt.Sprint("u", i), fmt.Sprint("u", (i+1)%rollingUsers)
		payloads = append(payloads, ledgertest.Transfer("x"+user, user, next, "5.00"),
			ledgertest.Payment("o"+user, user, ledgertest.Leg(tasks.SourceCash, "40.00"), ledgertest.Leg(tasks.SourceReward, "10.00"),
				ledgertest.Leg(tasks.SourceWeChat, "30.00")))
		for j := range 3 {
			payloads = append(payloads, ledgertest.Refund(fmt.Sprint("f", j, user), "o"+user, user, "20.00"))
		}
	}
	return payloads
}

// Two versions serve one system while one replaces the other. Each is killed and ended in order in the middle of the work of every kind;
// every request is asked of both.
func TestTwoVersionsShareOneSystem(t *testing.T) {
	t.Parallel()
	r := newRolling(t)
	books := ledgertest.OpenOn(t, r.db)
	under := func(work func(), from int, signals ...syscall.Signal) {
		t.Helper()
		done := make(chan struct{})
		go func() { defer close(done); work() }()
		for version, signal := range signals {
			r.decided(t, books, from+20*(version+1))
			r.replace(t, version, signal)
		}
		waitFor(t, done, "everything is asked")
	}
	const funds, crossing = 6 * rollingUsers, "SELECT count(*) FROM requests WHERE kind = 'transfer:receive'"
	under(func() { r.ask(t, rollingFunds()...) }, 0, syscall.SIGKILL, syscall.SIGTERM)
	r.decided(t, books, funds)
	under(func() { r.ask(t, rollingPurchases()...) }, funds, syscall.SIGTERM, syscall.SIGKILL)
	const bought = funds + (5+2*3)*rollingUsers // each refund asks the channel, which answers
	eventually(t, "all transfers are sent", func() bool {
		return r.count(t, "SELECT count(*) FROM outcomes o JOIN requests r ON r.book = o.book AND r.id = o.request_id WHERE r.kind = 'transfer:send'") == rollingUsers
	})
	decided := bought + r.count(t, crossing)
	r.decided(t, books, decided)
	r.sweepAndDecideCases(t, books)
	r.expectBooks(t)
	for version := range r.paths {
		r.workers[version].stop(t)
		r.apis[version].stop(t)
	}
}

// sweepAndDecideCases asks for what comes after the day: the night's sweep, and decisions about money that was nobody's.
func (r *rolling) sweepAndDecideCases(t *testing.T, books *ledgertest.Books) {
	t.Helper()
	suspended := make([]tasks.Payload, 8)
	for i := range suspended {
		suspended[i] = &tasks.Suspension{Channel: tasks.SourceAlipay, ChannelTxnID: fmt.Sprint("t", i), OutTradeNo: "SHOP1", Amount: ledgertest.Yuan("3.00"),
			Cause: tasks.UnknownOrder, OccurredAt: ledgertest.Noon}
	}
	before := r.count(t, "SELECT count(*) FROM outcomes")
	books.Hear(t, suspended...)
	r.decided(t, books, before+len(suspended))
	cases, _, err := books.Reader.Cases(t.Context(), ledger.CaseFilter{Open: true}, ledger.CasePosition{}, 100)
	if err != nil || len(cases) != len(suspended) {
		t.Fatalf("%d cases are open, want %d (%v)", len(cases), len(suspended), err)
	}
	decisions := []tasks.Payload{&tasks.Sweep{ProductID: "xiaojinku", BusinessDate: "2026-03-03"}}
	var credits []tasks.Payload // whose key the version before makes of the case alone
	for i, opened := range cases {
		if i%2 == 0 {
			decisions = append(decisions, &tasks.CaseReturn{CaseID: opened.ID, By: "ada", Note: "nobody's"})
		} else {
			credits = append(credits, &tasks.CaseCredit{CaseID: opened.ID, UserID: "u0", By: "ada", Note: "hers"})
		}
	}
	r.ask(t, decisions...)
	books.Accept(t, credits...)
	eventually(t, "every case is decided, and the night is swept", func() bool {
		return r.count(t, "SELECT count(*) FROM case_closings") >= len(cases) && r.count(t, "SELECT count(*) FROM pending") == 0
	})
}

// expectBooks compares every account with what was asked.
func (r *rolling) expectBooks(t *testing.T) {
	t.Helper()
	for i := range rollingUsers {
		user := fmt.Sprint("u", i)
		r.expectBalance(t, ledger.UserReward(user), "7.50")
		want := ledgertest.Yuan("90.00") // 100 - 40 + 3 * 10; 5 sent and 5 received
		if i == 0 {
			want = ledgertest.Yuan("102.00") // and four cases
		}
		held := r.balance(t, ledger.UserCash(user)).Fen() + r.balance(t, ledger.UserWealth(user, "xiaojinku")).Fen()
		if held != want.Fen() || r.balance(t, ledger.UserWealth(user, "xiaojinku")).Fen() < ledgertest.Yuan("70.00").Fen() {
			t.Errorf("%s has %s in cash and wealth, want %s, all but 20.00 of it swept", user, money.FromFen(held), want)
		}
	}
	r.expectBalance(t, ledger.MerchantPayable("m1"), fmt.Sprintf("%d.00", rollingUsers*20))
	r.expectBalance(t, ledger.ChannelRefunding(tasks.SourceWeChat), "0.00")
	r.expectBalance(t, ledger.ChannelClearing(tasks.SourceWeChat), fmt.Sprintf("-%d.00", rollingUsers*215/2))
	r.expectBalance(t, ledger.Suspense(tasks.SourceAlipay), "0.00")
	r.expectBalance(t, ledger.ChannelRefunding(tasks.SourceAlipay), "0.00")
	r.expectBalance(t, ledger.ChannelClearing(tasks.SourceAlipay), "-12.00")
	r.expectCount(t, 0, "SELECT count(*) FROM outcomes WHERE result <> 'applied'")
	r.expectCount(t, 0, "SELECT count(*) FROM pending")
	r.expectCount(t, 0, "SELECT count(*) FROM strays")
	r.expectCount(t, 0, "SELECT count(*) FROM conflicts")
}
