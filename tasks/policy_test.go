package tasks_test

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"

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
		`{"refund_splits":"proportional"}`:      "policy",
		`{"refund_split":"half"}`:               "refund_split",
		`{"balance_excluded_lines":["coupon"]}`: "balance_excluded_lines[0]",
		`{"merchants_without_balance":["a/b"]}`: "merchants_without_balance[0]",
		`{"products":[{"product_id":"","min_sweep":"1.00"}]}`:  "products[0].product_id",
		`{"products":[{"product_id":"x","min_sweep":"0.00"}]}`: "products[0].min_sweep",
		`{"products":[{"product_id":"x","min_sweep":1}]}`:      "policy",
		`{"products":[{"product_id":"x"}]}`:                    "products[0].min_sweep",
		`{"park_hours_max":5} {}`:                              "policy",
		`{"park_hours_max":0}`:                                 "park_hours_max",
		`{"park_hours_max":2161}`:                              "park_hours_max",
		`{"sweep_users_max":0}`:                                "sweep_users_max",
		`{"sweep_users_max":20001}`:                            "sweep_users_max",
	} {
		_, err := tasks.ParsePolicy([]byte(document))
		expectRefusal(t, err, field, "")
	}
}
