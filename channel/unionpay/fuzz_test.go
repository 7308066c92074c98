package unionpay_test

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"strings"
	"testing"

	"github.com/settled-dev/settled/channel"
	"github.com/settled-dev/settled/channel/channeltest"
	"github.com/settled-dev/settled/channel/unionpay"
	"github.com/settled-dev/settled/internal/clock"
	"github.com/settled-dev/settled/tasks"
)

// FuzzReadNotice sends bytes that anyone could send. Of them, only those of the seeds were ever signed; a seed's fields may be encoded
// otherwise, and then read the same.
func FuzzReadNotice(f *testing.F) {
	p := thePlatform()
	c := p.load(f, nil)
	signed := map[channel.Notice]bool{}
	for _, content := range []map[string]string{payment(), with(payment(), "respCode", "A6"), with(payment(), "respCode", "64"),
		refunded("00"), refunded("63"), with(payment(), "txnType", "79")} {
		body := p.notice(f, content)
		notice, err := c.ReadNotice(nil, body, noon)
		if err != nil {
			f.Fatal(err)
		}
		signed[notice] = true
		f.Add(body)
	}
	f.Add([]byte(nil))
	f.Add([]byte("version=5.1.0&signMethod=01&signature=AAAA&" +
		"signPubKeyCert=-----BEGIN+CERTIFICATE-----%0D%0AMAA=%0D%0A-----END+CERTIFICATE-----"))
	f.Fuzz(func(t *testing.T, body []byte) {
		notice, err := c.ReadNotice(nil, body, noon)
		if err == nil && !signed[notice] {
			t.Errorf("read %+v, which nobody has signed", notice)
		}
		checkNotice(t, c, notice, err)
	})
}

// FuzzReadSignedNotice sends what UnionPay's key has signed, whatever it says.
func FuzzReadSignedNotice(f *testing.F) {
	p := thePlatform()
	c := p.load(f, nil)
	f.Add("01", "00", "rc0123456789", "952603021959303028398", "10000", "20260302195930", "156", "", "")
	f.Add("04", "63", "rf0123456789", "952603021959303028398", "1", "20260302195930", "", "origQryId", "952603021959303028398")
	f.Add("31", "00", "{", "[", "&", "=", "\x00", "\xff", "}")
	f.Fuzz(func(t *testing.T, kind, code, order, query, amount, at, currency, name, value string) {
		content := payment()
		maps.Copy(content, map[string]string{"txnType": kind, "respCode": code, "orderId": order, "queryId": query, "txnAmt": amount,
			"txnTime": at, "currencyCode": currency})
		if name != "signature" && name != "signPubKeyCert" {
			content[name] = value
		}
		notice, err := c.ReadNotice(nil, p.notice(t, content), noon)
		checkNotice(t, c, notice, err)
	})
}

// checkNotice checks what holds of every notice, and of every refusal.
func checkNotice(t *testing.T, c *unionpay.Channel, notice channel.Notice, err error) {
	t.Helper()
	if err != nil {
		channeltest.CheckRefusal(t, c, notice, err, noon)
		return
	}
	paid, refund := notice.Event == channel.EventPaid, notice.Event == channel.EventRefund
	if notice.OccurredAt.IsZero() || notice.MerchantID != merID || (paid || refund) != notice.Amount.IsPositive() ||
		paid != (notice.OutTradeNo != "") || paid && notice.ChannelTxnID == "" || refund != (notice.RefundNumber != "") ||
		refund != (notice.Refund.State != "") {
		t.Errorf("read %+v", notice)
	}
}

// FuzzReadAnswer lets anyone answer: a refund ends by nothing but what UnionPay has signed of it.
func FuzzReadAnswer(f *testing.F) {
	p := thePlatform()
	dir := f.TempDir()
	transport := &channeltest.Answer{Status: http.StatusOK}
	c, err := unionpay.Load(dir, p.settingsIn(f, dir, nil), &http.Client{Transport: transport})
	if err != nil {
		f.Fatal(err)
	}
	c = c.WithClock(clock.Fixed(noon))
	f.Add(answerText(p.signer.sign(f, queried("00"))))
	f.Add(answerText(p.signer.sign(f, queried("63"))))
	f.Add(answerText(p.signer.sign(f, with(queried("00"), "respCode", "34"))))
	f.Add("respCode=00&origRespCode=00")
	f.Add("{a=[&b={]&}=&&==")
	f.Fuzz(func(t *testing.T, body string) {
		transport.Body = body
		for name, call := range map[string]func(context.Context, tasks.RefundOrder) (channel.RefundAnswer, error){
			"refund": c.Refund, "query": c.Query} {
			answer, err := call(t.Context(), order())
			if err == nil && !strings.Contains(body, "signature=") || err != nil && answer != (channel.RefundAnswer{}) ||
				err == nil && name == "refund" && answer.State != channel.RefundProcessing || err != nil && channeltest.Shows(err.Error(), secrets()) {
				t.Errorf("%s: %+v, %v", name, answer, err)
			}
		}
	})
}

// FuzzReadPaymentAnswer lets anyone answer, and UnionPay say anything.
func FuzzReadPaymentAnswer(f *testing.F) {
	p := thePlatform()
	dir := f.TempDir()
	transport := &channeltest.Answer{Status: http.StatusOK}
	c, err := unionpay.Load(dir, p.settingsIn(f, dir, nil), &http.Client{Transport: transport})
	if err != nil {
		f.Fatal(err)
	}
	c = c.WithClock(clock.Fixed(noon))
	f.Add(answerText(p.signer.sign(f, looked("05"))), "00", "00", "952603021959303028398", "10000", "0302195930", "currencyCode", "156")
	f.Add(pairs(looked("00")), "00", "61", "", "1", "", "x", "[")
	f.Add("respCode=34", "34", "", "", "", "", "orderId", "rc1")
	f.Add("{", "00", "A6", "1", "9", "0229000000", "queryId", "\xff")
	f.Fuzz(func(t *testing.T, body, code, end, query, amount, at, name, value string) {
		content := looked("00")
		maps.Copy(content, map[string]string{"respCode": code, "origRespCode": end, "queryId": query, "txnAmt": amount, "traceTime": at})
		if name != "signature" && name != "signPubKeyCert" {
			content[name] = value
		}
		for text, genuine := range map[string]bool{body: strings.Contains(body, "signature="), pairs(content): false,
			answerText(p.signer.sign(t, content)): true} {
			transport.Body = text
			notice, err := c.QueryPayment(t.Context(), recharge())
			channeltest.CheckPayment(t, recharge(), notice, err, secrets())
			certain := err == nil || errors.Is(err, channel.ErrUnpaid) || errors.Is(err, channel.ErrUnknownNumber)
			if certain && !genuine && !strings.Contains(text, "signature=") {
				t.Errorf("%q, which nobody has signed: %+v, %v", text, notice, err)
			}
		}
	})
}

// FuzzLoad gives settings of any content.
func FuzzLoad(f *testing.F) {
	p := thePlatform()
	dir := f.TempDir()
	f.Add(p.settingsIn(f, dir, nil))
	f.Add(p.settingsIn(f, dir, map[string]any{"allow_sha1": true, "signer_names": []string{"x"}}))
	f.Add([]byte(`{"mer_id":"1","mer_id":"1"}`))
	f.Add([]byte(`{"\ud800":[{}]}`))
	f.Fuzz(func(t *testing.T, settings []byte) {
		c, err := unionpay.Load(dir, settings, http.DefaultClient)
		var bad *tasks.FieldError
		if err != nil && (!errors.As(err, &bad) || channeltest.Shows(err.Error(), secrets())) ||
			err == nil && c.Reply(nil, noon).Status != http.StatusOK {
			t.Errorf("%v", err)
		}
	})
}
