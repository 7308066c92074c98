package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/settled-dev/settled/intake"
	"github.com/settled-dev/settled/intake/access"
	"github.com/settled-dev/settled/intake/access/accesstest"
	"github.com/settled-dev/settled/intake/recharge"
	"github.com/settled-dev/settled/internal/clock"
	"github.com/settled-dev/settled/ledger/ledgertest"
	"github.com/settled-dev/settled/tasks"
)

// badInput are requests that every door refuses. Each names the field at fault, and a part of what is said of it.
var badInput = []struct {
	name, kind, body string
	field, problem   string
}{
	{"unknown kind", "refund:pay", `{}`, "kind", `"refund:pay"`},
	{"internal kind", "refund:answer", `{}`, "kind", `"refund:answer"`},
	{"unknown version", "reward:grant", reward(`"v":2`), "v", `"2"`},
	{"version as text", "reward:grant", reward(`"v":"1.0"`), "v", `"1.0"`},
	{"unknown field", "reward:grant", reward(`"currency":"CNY"`), "currency", "is unknown"},
	{"misspelt field", "reward:grant", strings.Replace(reward(), "user_id", "userId", 1), "userId", "is unknown"},
	{"field twice", "reward:grant", reward(`"amount":"6.00"`), "amount", "is given twice"},
	{"missing field", "reward:grant", strings.Replace(reward(), `"user_id":"u1",`, "", 1), "user_id", "is missing"},
	{"empty object", "reward:grant", `{}`, "reward_id", "is missing"},
	{"zero", "reward:grant", amount(`"0.00"`), "amount", "is 0.00"},
	{"negative", "reward:grant", amount(`"-1.00"`), "amount", "-1.00"},
	{"too fine", "reward:grant", amount(`"1.001"`), "amount", "1.001"},
	{"too large", "reward:grant", amount(`"100000000000.01"`), "amount", "100000000000.01"},
	{"far too large", "reward:grant", amount(`"` + strings.Repeat("9", 400) + `"`), "amount", "…"},
	{"exponent", "reward:grant", amount(`"1e2"`), "amount", "1e2"},
	{"tiny exponent", "reward:grant", amount(`"1e-30"`), "amount", "1e-30"},
	{"JSON number", "reward:grant", amount(`5`), "amount", `the JSON number "5"`},
	{"JSON number with places", "reward:grant", amount(`5.00`), "amount", `the JSON number "5.00"`},
	{"null", "reward:grant", amount(`null`), "amount", "is null"},
	{"plus sign", "reward:grant", amount(`"+1.00"`), "amount", "+1.00"},
	{"space", "reward:grant", amount(`" 1.00"`), "amount", " 1.00"},
	{"comma", "reward:grant", amount(`"1,00"`), "amount", "1,00"},
	{"full-width digits", "reward:grant", amount(`"１.00"`), "amount", ""},
	{"not a number", "reward:grant", amount(`"NaN"`), "amount", "NaN"},
	{"infinity", "reward:grant", amount(`"Infinity"`), "amount", "Infinity"},
	{"unknown product", "wealth:enrol", enrol("no-such-fund", "0.00"), "product_id", "which is not offered"},
	{"unknown product to sweep", "sweep:run", `{"product_id":"no-such-fund","business_date":"2026-03-02"}`, "product_id", "which is not offered"},
	{"negative keep amount", "wealth:enrol", enrol("xiaojinku", "-0.01"), "keep_amount", "-0.01"},
	{"date that does not exist", "sweep:run", `{"product_id":"xiaojinku","business_date":"2026-02-30"}`, "business_date", "2026-02-30"},
	{"id too long", "reward:grant", id(strings.Repeat("x", 65)), "reward_id", "has 65 bytes"},
	{"id of a dot", "reward:grant", id("."), "reward_id", `is "."`},
	{"id of two dots", "reward:grant", id(".."), "reward_id", `is ".."`},
	{"empty id", "reward:grant", id(""), "reward_id", "is missing"},
	{"id with a control character", "reward:grant", id(`rw\u0000`), "reward_id", "is not allowed"},
	{"id with a line break", "reward:grant", id(`rw\n1`), "reward_id", "is not allowed"},
	{"id with a slash", "reward:grant", id(`u1/cash`), "reward_id", "is not allowed"},
	{"id with a lookalike", "reward:grant", id("rw１"), "reward_id", "is not allowed"},
	{"number as id", "reward:grant", strings.Replace(reward(), `"rw1"`, "1", 1), "reward_id", "the JSON number"},
	{"control character in a text", "refund:apply", refundReason(`bell\u0007`), "reason", "control character"},
	{"text too long", "refund:apply", refundReason(strings.Repeat("x", 201)), "reason", "has 201 bytes"},
	{"time without a zone", "reward:grant", strings.Replace(reward(), "+08:00", "", 1), "occurred_at", "2026-03-02T12:00:00"},
	{"time in the stone age", "reward:grant", strings.Replace(reward(), "2026", "1026", 1), "occurred_at", "1026"},
	{"time that has not come", "reward:grant", strings.Replace(reward(), "2026", "2098", 1), "occurred_at", "has not come yet"},
	{"no legs", "payment:capture", legs(``), "legs", "has 0 entries"},
	{"unknown source", "payment:capture", legs(`{"source":"gold","amount":"1.00"}`), "legs[0].source", `"gold"`},
	{"leg without an amount", "payment:capture", legs(`{"source":"cash"}`), "legs[0].amount", "is missing"},
	{"source twice", "payment:capture", legs(`{"source":"cash","amount":"1.00"},{"source":"cash","amount":"1.00"}`), "legs[1].source", "as an earlier leg's"},
	{"transfer to oneself", "transfer:send", transfer("u1", "u1"), "to_user_id", "is the sender"},
	{"more than one object", "reward:grant", reward() + reward(), "payload", "has more after the object"},
	{"a list", "reward:grant", `[` + reward() + `]`, "payload", "is a list"},
	{"a text", "reward:grant", `"rw1"`, "payload", `is "rw1"`},
	{"broken JSON", "reward:grant", `{"reward_id":`, "payload", "is not JSON"},
	{"nested too deep", "reward:grant", `{"x":` + strings.Repeat("[", 5000) + strings.Repeat("]", 5000) + `}`, "payload", "is nested too deep"},
	{"invalid UTF-8", "reward:grant", id("rw\xff"), "payload", "is not valid UTF-8"},
	{"10 MB", "reward:grant", id(strings.Repeat("x", 10<<20)), "payload", "bytes"},
}

func reward(more ...string) string {
	return `{` + strings.Join(append(more, `"reward_id":"rw1","user_id":"u1","campaign_id":"c1","amount":"5.00",`+
		`"occurred_at":"2026-03-02T12:00:00+08:00"}`), ",")
}

func amount(value string) string { return strings.Replace(reward(), `"5.00"`, value, 1) }

func id(value string) string { return strings.Replace(reward(), "rw1", value, 1) }

func enrol(product, keep string) string {
	return fmt.Sprintf(`{"enrolment_id":"e1","user_id":"u1","product_id":%q,"keep_amount":%q,"consent_version":"1",`+
		`"occurred_at":"2026-03-02T12:00:00+08:00"}`, product, keep)
}

func refundReason(reason string) string {
	return `{"refund_id":"r1","order_id":"o1","user_id":"u1","amount":"1.00","reason":"` + reason +
		`","occurred_at":"2026-03-02T12:00:00+08:00"}`
}

func legs(list string) string {
	return `{"order_id":"o1","user_id":"u1","merchant_id":"m1","legs":[` + list + `],"occurred_at":"2026-03-02T12:00:00+08:00"}`
}

func transfer(from, to string) string {
	return fmt.Sprintf(`{"transfer_id":"t1","from_user_id":%q,"to_user_id":%q,"amount":"1.00","occurred_at":"2026-03-02T12:00:00+08:00"}`,
		from, to)
}

// door sends a request through one of the ways in, and returns what it is refused for; nil when it is not refused.
type door func(t *testing.T, kind, body string) *intake.FieldProblem

func TestBadInputIsRefusedAtEveryDoorAndStoresNothing(t *testing.T) {
	t.Parallel()
	books, c := open(t)
	doors := map[string]door{"client": clientDoor(books), "command line": commandLineDoor(c),
		"HTTP": httpDoor(t, books, "", "application/json"), "a stream": httpDoor(t, books, "/bulk", "application/x-ndjson")}
	for _, bad := range badInput {
		for name, send := range doors {
			t.Run(bad.name+" by "+name, func(t *testing.T) {
				got := send(t, bad.kind, bad.body)
				switch {
				case got == nil:
					t.Fatal("was not refused")
				case got.Field != bad.field || !strings.Contains(got.Problem, bad.problem) || got.Allowed == "":
					t.Errorf("refused for %+v, want %s: %s", *got, bad.field, bad.problem)
				case len(got.Problem) > 400:
					t.Errorf("repeats %d bytes of what it refused", len(got.Problem))
				}
			})
		}
	}
	if n := stored(t, books); n != 0 {
		t.Errorf("%d requests stored", n)
	}
	for name, send := range doors {
		if got := send(t, "reward:grant", reward()); got != nil {
			t.Errorf("the request that the bad ones are made from is refused by %s: %+v", name, *got)
		}
	}
}

// clientDoor is a Go producer that reads JSON.
func clientDoor(books *ledgertest.Books) door {
	return func(t *testing.T, kind, body string) *intake.FieldProblem {
		t.Helper()
		known, err := tasks.ParseKind(kind)
		var payload tasks.Payload
		if err == nil {
			payload, err = tasks.ParsePayload(known, []byte(body))
		}
		if err == nil {
			_, err = books.Client.Enqueue(t.Context(), payload)
		}
		if err == nil {
			return nil
		}
		var bad *tasks.FieldError
		if !errors.As(err, &bad) {
			t.Fatalf("refused by %v, which names no field", err)
		}
		problem := intake.NewFieldProblem(bad)
		return &problem
	}
}

func commandLineDoor(c call) door {
	return func(t *testing.T, kind, body string) *intake.FieldProblem {
		t.Helper()
		c.stdin = strings.NewReader(body)
		got := c.run(t, "request", kind, "--file", "-")
		switch got.code {
		case exitOK:
			return nil
		case exitUsage: // the kind stands on the command line
			field, problem, _ := strings.Cut(strings.TrimPrefix(got.stderr, "settled: "), " ")
			problem, allowed, _ := strings.Cut(problem, "; allowed: ")
			return &intake.FieldProblem{Field: field, Problem: problem, Allowed: allowed}
		}
		list := answers(t, got.stdout)
		if got.code != exitNo || len(list) != 1 || list[0].Line != 1 || list[0].Status != "refused" {
			t.Fatalf("exit code %d\n%s%s", got.code, got.stdout, got.stderr)
		}
		return list[0].Error
	}
}

// httpDoor is a producer over HTTP: of single requests, or of streams of one line.
func httpDoor(t *testing.T, books *ledgertest.Books, under, mediaType string) door {
	t.Helper()
	server := httptest.NewServer(intake.NewAPI(intake.Config{Client: books.Client, Reader: books.Reader,
		Access: accesstest.Guard(t, books.DB), Recharges: recharge.NewOrders(books.DB.Pool, books.Client.Books(), clock.System)}))
	t.Cleanup(server.Close)
	client := accesstest.Client(accesstest.Key(t, books.DB, "test", access.Admin))
	return func(t *testing.T, kind, body string) *intake.FieldProblem {
		t.Helper()
		response, err := client.Post(server.URL+"/v1/requests/"+kind+under, mediaType, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = response.Body.Close() }()
		text, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		switch response.Header.Get("Content-Type") {
		case "application/problem+json":
			return onlyProblem(t, response, text)
		case "application/x-ndjson":
			return answers(t, string(text))[0].Error
		default:
			return nil
		}
	}
}

func onlyProblem(t *testing.T, response *http.Response, text []byte) *intake.FieldProblem {
	t.Helper()
	var problem intake.Problem
	parse(t, ended{stdout: string(text)}, &problem)
	if response.StatusCode != http.StatusUnprocessableEntity && response.StatusCode != http.StatusRequestEntityTooLarge ||
		len(problem.Errors) != 1 {
		t.Fatalf("%s: %s", response.Status, text)
	}
	return &problem.Errors[0]
}
