package wechat_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/settled-dev/settled/channel"
	"github.com/settled-dev/settled/channel/channeltest"
	"github.com/settled-dev/settled/channel/wechat"
	"github.com/settled-dev/settled/internal/clock"
	"github.com/settled-dev/settled/tasks"
)

// FuzzReadNotice sends bytes that anyone could send. Of them, only those of the seeds were ever signed.
func FuzzReadNotice(f *testing.F) {
	p := thePlatform()
	c := p.load(f, nil)
	type message struct{ timestamp, nonce, serial, body string }
	signed := map[message]bool{}
	for event, content := range map[string]map[string]any{"TRANSACTION.SUCCESS": payment(), "REFUND.SUCCESS": refunded("SUCCESS"),
		"REFUND.CLOSED": refunded("CLOSED"), "REFUND.ABNORMAL": refunded("ABNORMAL"), "COUPON.USE": {}} {
		for _, serial := range []string{p.serial(), publicID} {
			body := wrap(f, event, channeltest.Encode(f, content))
			header := p.sign(f, body, noon, serial)
			m := message{header.Get("Wechatpay-Timestamp"), header.Get("Wechatpay-Nonce"), serial, string(body)}
			signed[m] = true
			f.Add(m.timestamp, m.nonce, m.serial, header.Get("Wechatpay-Signature"), header.Get("Wechatpay-Signature-Type"), body)
		}
	}
	f.Add("", "", "", "", "", []byte(nil))
	f.Add("1", "n", publicID, "WECHATPAY/SIGNTEST/x", "", []byte("{}"))
	f.Fuzz(func(t *testing.T, timestamp, nonce, serial, signature, scheme string, body []byte) {
		header := http.Header{"Wechatpay-Timestamp": {timestamp}, "Wechatpay-Nonce": {nonce}, "Wechatpay-Serial": {serial},
			"Wechatpay-Signature": {signature}, "Wechatpay-Signature-Type": {scheme}}
		notice, err := c.ReadNotice(header, body, noon)
		if err == nil && !signed[message{timestamp, nonce, serial, string(body)}] {
			t.Errorf("read %+v from a message that nobody has signed", notice)
		}
		checkNotice(t, c, notice, err)
	})
}

// FuzzReadSignedNotice sends what WeChat Pay's keys have signed and encrypted, whatever it says.
func FuzzReadSignedNotice(f *testing.F) {
	p := thePlatform()
	c := p.load(f, nil)
	for event, content := range map[string]map[string]any{"TRANSACTION.SUCCESS": payment(), "REFUND.SUCCESS": refunded("SUCCESS"),
		"REFUND.CLOSED": refunded("CLOSED")} {
		f.Add(event, channeltest.Encode(f, content), []byte(nil))
	}
	f.Add("TRANSACTION.SUCCESS", []byte(nil), channeltest.Encode(f, envelope("TRANSACTION.SUCCESS", map[string]any{"nonce": "short"})))
	f.Add("", []byte("[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]"), []byte("null"))
	f.Fuzz(func(t *testing.T, event string, plaintext, body []byte) {
		wrapped := wrap(t, event, plaintext)
		notice, err := c.ReadNotice(p.sign(t, wrapped, noon, p.serial()), wrapped, noon)
		checkNotice(t, c, notice, err)
		notice, err = c.ReadNotice(p.sign(t, body, noon, publicID), body, noon)
		checkNotice(t, c, notice, err)
	})
}

// checkNotice checks what holds of every notice, and of every refusal.
func checkNotice(t *testing.T, c *wechat.Channel, notice channel.Notice, err error) {
	t.Helper()
	if err != nil {
		channeltest.CheckRefusal(t, c, notice, err, noon)
		return
	}
	moves := notice.Event == channel.EventPaid || notice.Event == channel.EventRefund
	if notice.ID == "" || notice.OccurredAt.IsZero() || moves != notice.Amount.IsPositive() || moves != (notice.MerchantID == mchID) ||
		moves != (notice.ChannelTxnID != "") || moves != (notice.OutTradeNo != "") ||
		(notice.Event == channel.EventRefund) != (notice.RefundNumber != "") || (notice.Event == channel.EventPaid) != (notice.AppID == appID) {
		t.Errorf("read %+v", notice)
	}
}

// speaker is an HTTP transport that answers every request with a body, signed by WeChat Pay or by nobody.
type speaker struct {
	t      testing.TB
	status int
	body   string
	signed bool
}

// RoundTrip implements http.RoundTripper.
func (s *speaker) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := channeltest.Answer{Status: s.status, Body: s.body}.RoundTrip(r)
	if s.signed {
		response.Header = thePlatform().sign(s.t, []byte(s.body), noon, publicID)
	}
	return response, err
}

// channelOf makes the merchant's channel with the transport.
func channelOf(f *testing.F, transport http.RoundTripper) *wechat.Channel {
	f.Helper()
	dir := f.TempDir()
	c, err := wechat.Load(dir, thePlatform().settingsIn(f, dir, nil), &http.Client{Transport: transport})
	if err != nil {
		f.Fatal(err)
	}
	return c.WithClock(clock.Fixed(noon))
}

// FuzzReadRefundAnswer hears bytes that anyone could send, and the same signed by WeChat Pay, whatever they say.
func FuzzReadRefundAnswer(f *testing.F) {
	s := &speaker{}
	c := channelOf(f, s)
	for _, status := range []string{"SUCCESS", "PROCESSING", "CLOSED", "ABNORMAL"} {
		f.Add(200, said(f, status, nil))
	}
	f.Add(403, `{"code":"USER_ACCOUNT_ABNORMAL","message":"\ud800"}`)
	f.Add(404, `{"code":"RESOURCE_NOT_EXISTS"}`)
	f.Add(200, `[[[[[[`)
	f.Add(200, `{"amount":{"refund":3e3}}`)
	f.Fuzz(func(t *testing.T, status int, body string) {
		for _, signed := range []bool{false, true} {
			s.t, s.status, s.body, s.signed = t, status, body, signed
			for name, call := range map[string]func(context.Context, tasks.RefundOrder) (channel.RefundAnswer, error){
				"refund": c.Refund, "query": c.Query} {
				answer, err := call(t.Context(), order())
				switch {
				case err != nil && (answer != (channel.RefundAnswer{}) || channeltest.Shows(err.Error(), thePlatform().secrets())):
					t.Errorf("%s of %q: %+v, %v", name, body, answer, err)
				case err == nil && !signed:
					t.Errorf("%s: %+v of %q, which nobody has signed", name, answer, body)
				case errors.Is(err, channel.ErrUnknownNumber) && (name == "refund" || status != http.StatusNotFound):
					t.Errorf("%s of %d %q: %v", name, status, body, err)
				}
				ended := answer.State == channel.RefundSucceeded
				if ended && status != http.StatusOK || ended == answer.EndedAt.IsZero() || (answer.State == channel.RefundFailed) != (answer.Reason != "") {
					t.Errorf("%s of %d %q: %+v", name, status, body, answer)
				}
				escaped := strings.Contains(body, `\u`)
				if ended && !escaped && !strings.Contains(body, order().Number) {
					t.Errorf("%q is a success of our refund", body)
				}
			}
		}
	})
}

// FuzzReadPaymentAnswer hears bytes that anyone could send, and the same signed by WeChat Pay, whatever they say.
func FuzzReadPaymentAnswer(f *testing.F) {
	s := &speaker{}
	c := channelOf(f, s)
	f.Add(200, string(channeltest.Encode(f, payment())))
	for _, state := range []string{"NOTPAY", "CLOSED", "PAYERROR", "REFUND"} {
		f.Add(200, string(channeltest.Encode(f, unpaid(state))))
	}
	f.Add(404, `{"code":"ORDER_NOT_EXIST","message":"\u0000"}`)
	f.Add(200, `{"trade_state":"SUCCESS","amount":{"total":1.0e2}}`)
	f.Fuzz(func(t *testing.T, status int, body string) {
		for _, signed := range []bool{false, true} {
			s.t, s.status, s.body, s.signed = t, status, body, signed
			notice, err := c.QueryPayment(t.Context(), recharge())
			channeltest.CheckPayment(t, recharge(), notice, err, thePlatform().secrets())
			if certain := err == nil || errors.Is(err, channel.ErrUnpaid); certain && (!signed || status != http.StatusOK) {
				t.Errorf("%d %q, signed %v: %+v, %v", status, body, signed, notice, err)
			}
			if err == nil && (notice.MerchantID != mchID || notice.AppID != appID) {
				t.Errorf("read %+v", notice)
			}
		}
	})
}

// FuzzLoad reads settings that an operator could have written.
func FuzzLoad(f *testing.F) {
	p := thePlatform()
	dir := f.TempDir()
	f.Add(p.settingsIn(f, dir, nil))
	f.Add(p.settingsIn(f, dir, map[string]any{"api_v3_key": nil, "api_v3_key_file": "pub_key.pem"}))
	f.Add(p.settingsIn(f, dir, map[string]any{"platform_certificates": []any{"wechatpay_cert.pem", "", 1}, "public_keys": []any{nil}}))
	f.Add([]byte(`{"mch_id":null,"public_keys":{}}`))
	f.Fuzz(func(t *testing.T, settings []byte) {
		c, err := wechat.Load(dir, settings, http.DefaultClient)
		var bad *tasks.FieldError
		if err != nil && (!errors.As(err, &bad) || bad.Field == "" || c != nil || channeltest.Shows(err.Error(), p.secrets())) {
			t.Errorf("%v", err)
		}
		if err == nil && c.String() == "" {
			t.Error("a channel of no merchant")
		}
	})
}
