package tasks_test

import (
	"context"
	"encoding/json"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/settled-dev/settled/internal/postgres"
	"github.com/settled-dev/settled/internal/postgres/pgtest"
	"github.com/settled-dev/settled/ledger/ledgertest"
	"github.com/settled-dev/settled/money"
	"github.com/settled-dev/settled/tasks"
)

func TestPolicyIsReadAsItIsPrinted(t *testing.T) {
	t.Parallel()
	printed, err := json.Marshal(tasks.DefaultPolicy())
	if err != nil {
		t.Fatal(err)
	}
	for _, document := range []string{string(printed), "{}"} {
		read, err := tasks.ParsePolicy([]byte(document))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(tasks.DefaultPolicy(), read, cmp.Comparer(func(a, b money.Amount) bool { return a == b })); diff != "" {
			t.Errorf("%s is read as another policy (-want +got):\n%s", document, diff)
		}
	}
}

func TestPolicyThatCannotCountIsRefused(t *testing.T) {
	t.Parallel()
	for document, field := range map[string]string{
		``:                                      "policy",
		`[]`:                                    "policy",
		`null`:                                  "policy",
		`{"refund_splits":"proportional"}`:      "refund_splits",
		`{"Refund_split":"proportional"}`:       "Refund_split",
		`{"refund_split":"half"}`:               "refund_split",
		`{"balance_excluded_lines":["coupon"]}`: "balance_excluded_lines[0]",
		`{"merchants_without_balance":["a/b"]}`: "merchants_without_balance[0]",
		`{"products":[{"product_id":"","min_sweep":"1.00"}]}`:                                        "products[0].product_id",
		`{"products":[{"product_id":"x","min_sweep":"0.00"}]}`:                                       "products[0].min_sweep",
		`{"products":[{"product_id":"x","min_sweep":1}]}`:                                            "products",
		`{"products":[{"product_id":"x"}]}`:                                                          "products[0].min_sweep",
		`{"products":[{"product_id":"x","min_sweep":"100000000000.01"}]}`:                            "products",
		`{"products":[{"product_id":"x","min_sweep":"1.00"},{"product_id":"x","min_sweep":"2.00"}]}`: "products[1].product_id",
		`{"park_hours_max":5} {}`:                                                                    "policy",
		`{"park_hours_max":0}`:                                                                       "park_hours_max",
		`{"returned_suspensions":["used_payment"]}`:                                                  "returned_suspensions[0]",
		`{"returned_suspensions":["second_payment","refunded_payment"]}`:                             "returned_suspensions[1]",
		`{"returned_suspensions":["unknown_order"]}`:                                                 "returned_suspensions[0]",
		`{"park_hours_max":2161}`:                                                                    "park_hours_max",
		`{"sweep_users_max":0}`:                                                                      "sweep_users_max",
		`{"sweep_users_max":20001}`:                                                                  "sweep_users_max",
		`{"transferred_per_day_max":"0.00"}`:                                                         "transferred_per_day_max",
		`{"transferred_per_day_max":"-1.00"}`:                                                        "transferred_per_day_max",
		`{"products":[{"product_id":"x","min_sweep":"1.00","rate":1}]}`:                              "products",
		`{"products":null}`:                                                                          "products",
		`{"balance_excluded_lines":null}`:                                                            "balance_excluded_lines",
		`{"returned_suspensions":"second_payment"}`:                                                  "returned_suspensions",
		`{"refund_limits":null}`:                                                                     "refund_limits",
		`{"refund_limits":[]}`:                                                                       "refund_limits",
		`{"refund_limits":{"wechat":null}}`:                                                          "refund_limits.wechat",
		`{"refund_limits":{"wechat":{"days":1}}}`:                                                    "refund_limits.wechat",
		`{"refund_limits":{"wechat":{"days_max":"1"}}}`:                                              "refund_limits.wechat",
		`{"refund_limits":{"wechat":{"days_max":3651}}}`:                                             "refund_limits.wechat.days_max",
		`{"refund_limits":{"cash":{"days_max":1}}}`:                                                  "refund_limits.cash",
		`{"transferred_per_day_max":5000}`:                                                           "transferred_per_day_max",
		`{"transferred_per_day_max":"1.001"}`:                                                        "transferred_per_day_max",
		`{"transferred_per_day_max":null}`:                                                           "transferred_per_day_max",
		`{"transfers_per_day_max":"5"}`:                                                              "transfers_per_day_max",
		`{"transfers_per_day_max":1.5}`:                                                              "transfers_per_day_max",
		`{"transfers_per_day_max":0}`:                                                                "transfers_per_day_max",
		`{"transfers_per_day_max":1000001}`:                                                          "transfers_per_day_max",
	} {
		_, err := tasks.ParsePolicy([]byte(document))
		expectRefusal(t, err, field, "")
	}
}

// A channel's limit that the document leaves out is the default one, and not none.
func TestPolicyKeepsTheLimitsOfRefundsThatItDoesNotName(t *testing.T) {
	t.Parallel()
	policy, err := tasks.ParsePolicy([]byte(`{"refund_limits":{"wechat":{"days_max":30},"ecny":{"refunds_max":2}}}`))
	if err != nil {
		t.Fatal(err)
	}
	want := map[tasks.Source]tasks.RefundLimit{
		tasks.SourceWeChat: {DaysMax: 30, RefundsMax: 50}, tasks.SourceAlipay: {DaysMax: 365}, tasks.SourceECNY: {RefundsMax: 2},
	}
	if diff := cmp.Diff(want, policy.RefundLimits); diff != "" {
		t.Errorf("limits (-want +got):\n%s", diff)
	}
}

// A day that has no limit in practice has the largest ones.
func TestPolicyMayLimitNobodyInPractice(t *testing.T) {
	t.Parallel()
	policy, err := tasks.ParsePolicy([]byte(`{"transferred_per_day_max":"100000000000.00","transfers_per_day_max":1000000}`))
	if err != nil || policy.TransferredPerDayMax.Fen() != money.MaxFen || policy.TransfersPerDayMax != 1_000_000 {
		t.Errorf("%+v, %v", policy, err)
	}
}

// policyReads counts the times that a pool has asked for the policy.
type policyReads struct{ count atomic.Int64 }

// TraceQueryStart implements pgx.QueryTracer.
func (r *policyReads) TraceQueryStart(ctx context.Context, _ *pgx.Conn, query pgx.TraceQueryStartData) context.Context {
	if query.SQL == tasks.NewestPolicySQL {
		r.count.Add(1)
	}
	return ctx
}

// TraceQueryEnd implements pgx.QueryTracer.
func (*policyReads) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

func TestPolicyIsReadOnceForAllThatACallRefuses(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	ledgertest.Audit(t, db)
	var reads policyReads
	pool, err := postgres.Open(t.Context(), db.URL, postgres.Configure(func(c *pgxpool.Config) { c.ConnConfig.Tracer = &reads }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	client, err := tasks.NewClient(t.Context(), pool, nil, tasks.ClientConfig{Producer: "test"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	reads.count.Store(0)
	payloads := []tasks.Payload{reward("r1", "u1", "1.00")}
	for range 50 {
		payloads = append(payloads, &tasks.Sweep{ProductID: "nothing", BusinessDate: "2026-03-02"})
	}
	items, err := client.EnqueueMany(t.Context(), payloads)
	if err != nil || items[0].Err != nil {
		t.Fatal(err, items[0].Err)
	}
	for _, item := range items[1:] {
		expectRefusal(t, item.Err, "product_id", "nothing")
	}
	if n := reads.count.Load(); n != 1 {
		t.Errorf("the policy was read %d times", n)
	}
}

func TestPolicySaysWhichSuspensionsAreReturned(t *testing.T) {
	t.Parallel()
	for document, want := range map[string][]tasks.SuspensionCause{
		`{}`:                          {tasks.SecondPayment},
		`{"returned_suspensions":[]}`: nil,
		`{"returned_suspensions":["closed_order","wrong_amount"]}`: {tasks.ClosedOrder, tasks.WrongAmount},
	} {
		policy, err := tasks.ParsePolicy([]byte(document))
		if err != nil {
			t.Fatal(err)
		}
		for _, cause := range tasks.SuspensionCauses() {
			if got := policy.Returns(cause); got != slices.Contains(want, cause) {
				t.Errorf("%s: %s is returned: %t", document, cause, got)
			}
		}
	}
}
