package unionpay_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/settled-dev/settled/channel"
	"github.com/settled-dev/settled/channel/channeltest"
	"github.com/settled-dev/settled/channel/unionpay"
	"github.com/settled-dev/settled/internal/clock"
	"github.com/settled-dev/settled/money"
	"github.com/settled-dev/settled/tasks"
)

// answeredAt is when the test gateway signed its answer, in the validity of its certificate.
var answeredAt = time.Date(2024, 1, 5, 16, 58, 42, 0, clock.Shanghai)

// openRealAnswer reads an answer of UnionPay's test gateway, and makes a channel that knows its authority, from a folder shared/fixtures
// beside the repository, or skips the test where there is none. change changes the answer after it was signed, and changes the settings.
func openRealAnswer(t *testing.T, change func(map[string]string), changes map[string]any) (map[string]string, *unionpay.Channel) {
	t.Helper()
	folder := filepath.Join("..", "..", "..", "shared", "fixtures", "unionpay")
	raw, err := os.ReadFile(filepath.Join(folder, "refund-response-2024.json"))
	if errors.Is(err, os.ErrNotExist) {
		t.Skip("there is no folder shared/fixtures/unionpay beside the repository")
	}
	if err != nil {
		t.Fatal(err)
	}
	var sample struct{ Fields map[string]string }
	if err := json.Unmarshal(raw, &sample); err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(sample.Fields)
	}
	dir := t.TempDir()
	all := map[string]any{"mer_id": "777290058167151", "allow_sha1": true, "root_files": []string{"acp_test_root.cer"},
		"middle_files": []string{"acp_test_middle.cer"}}
	for name, value := range changes {
		all[name] = value
	}
	settings := thePlatform().settingsIn(t, dir, all)
	for _, name := range []string{"acp_test_root.cer", "acp_test_middle.cer"} {
		content, err := os.ReadFile(filepath.Join(folder, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c, err := unionpay.Load(dir, settings, &http.Client{Transport: channeltest.Answer{Status: http.StatusOK, Body: answerText(sample.Fields)}})
	if err != nil {
		t.Fatal(err)
	}
	return sample.Fields, c.WithClock(clock.Fixed(answeredAt))
}

// realOrder is the refund that the answer is about.
func realOrder() tasks.RefundOrder {
	return tasks.RefundOrder{Number: "refundpay20240105165842", ChannelTxnID: "052401051658427862748", Amount: money.FromFen(1),
		OccurredAt: answeredAt}
}

func TestRealAnswerIsVerifiedAndRead(t *testing.T) {
	t.Parallel()
	_, c := openRealAnswer(t, nil, nil)
	answer, err := c.Refund(t.Context(), realOrder())
	if want := (channel.RefundAnswer{State: channel.RefundProcessing}); answer != want || err != nil {
		t.Errorf("%+v, %v", answer, err)
	}
	other := realOrder()
	other.Amount = money.FromFen(2)
	if _, err := c.Refund(t.Context(), other); !errors.Is(err, channel.ErrMalformed) {
		t.Errorf("for another amount: %v", err)
	}
}

// An answer is signed as a notice is, and nothing but its fields tells that it is none.
func TestRealAnswerIsGenuineAndNoNotice(t *testing.T) {
	t.Parallel()
	fields, c := openRealAnswer(t, nil, nil)
	refusedAsAnswer(t, c, fields)
	for name, change := range map[string]func(map[string]string){
		"LF instead of CRLF": func(m map[string]string) {
			m["signPubKeyCert"] = strings.ReplaceAll(m["signPubKeyCert"], "\r\n", "\n")
		},
		"another amount":    func(m map[string]string) { m["txnAmt"] = "2" },
		"another code":      func(m map[string]string) { m["respCode"] = "A6" },
		"an empty field":    func(m map[string]string) { m["accNo"] = "" },
		"no message":        func(m map[string]string) { delete(m, "respMsg") },
		"another signature": func(m map[string]string) { m["signature"] = "d" + m["signature"][1:] },
	} {
		other, c := openRealAnswer(t, change, nil)
		if got, err := c.ReadNotice(nil, channeltest.Form(other), answeredAt); !errors.Is(err, channel.ErrNotGenuine) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
		if got, err := c.Refund(t.Context(), realOrder()); !errors.Is(err, channel.ErrNotGenuine) {
			t.Errorf("%s, as an answer: %+v, %v", name, got, err)
		}
	}
}

func TestRealCertificateCountsInItsTimeAndByItsName(t *testing.T) {
	t.Parallel()
	fields, c := openRealAnswer(t, nil, nil)
	for _, now := range []time.Time{time.Date(2020, 7, 31, 1, 19, 15, 0, time.UTC), time.Date(2025, 7, 31, 1, 19, 17, 0, time.UTC)} {
		if got, err := c.ReadNotice(nil, channeltest.Form(fields), now); !errors.Is(err, channel.ErrNotGenuine) {
			t.Errorf("at %v: %+v, %v", now, got, err)
		}
	}
	_, c = openRealAnswer(t, nil, map[string]any{"signer_names": []string{"00040000:SIGN"}})
	if got, err := c.ReadNotice(nil, channeltest.Form(fields), answeredAt); !errors.Is(err, channel.ErrNotGenuine) {
		t.Errorf("by another name: %+v, %v", got, err)
	}
}

// refusedAsAnswer checks that an answer, sent as a notice, is refused for what it says and not for its signature.
func refusedAsAnswer(t *testing.T, c *unionpay.Channel, fields map[string]string) {
	t.Helper()
	got, err := c.ReadNotice(nil, channeltest.Form(fields), answeredAt)
	if got != (channel.Notice{}) || !errors.Is(err, channel.ErrMalformed) || errors.Is(err, channel.ErrNotGenuine) {
		t.Errorf("%+v, %v", got, err)
	}
}
