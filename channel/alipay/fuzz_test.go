package alipay_test

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/settled-dev/settled/channel"
	"github.com/settled-dev/settled/channel/alipay"
	"github.com/settled-dev/settled/channel/channeltest"
	"github.com/settled-dev/settled/internal/clock"
	"github.com/settled-dev/settled/tasks"
)

// FuzzReadNotice sends bytes that anyone could send. Of them, only those of the seeds were ever signed.
func FuzzReadNotice(f *testing.F) {
	p := thePlatform()
	c := p.load(f, nil)
	signed := map[string]bool{} // the values of what Alipay has signed
	values := func(body []byte) string {
		form, err := url.ParseQuery(string(body))
		if err != nil {
			return ""
		}
		form.Del("sign")
		form.Del("alipay_cert_sn") // it only names a key
		return form.Encode()
	}
	for _, fields := range []map[string]string{payment(), refunded(), closed(), with(payment(), "trade_status", "WAIT_BUYER_PAY"),
		with(payment(), "charset", "GBK", "subject", "\xb3\xe4\xd6\xb5")} {
		for _, body := range [][]byte{sign(f, p.newer, fields), sign(f, p.certified, with(fields, "alipay_cert_sn", certificateSN))} {
			signed[values(body)] = true
			f.Add(body)
		}
	}
	f.Add([]byte(nil))
	f.Add([]byte("sign_type=RSA2&sign=&a=&b=%"))
	f.Fuzz(func(t *testing.T, body []byte) {
		notice, err := c.ReadNotice(nil, body, noon)
		if err == nil && !signed[values(body)] {
			t.Errorf("read %+v from a message that nobody has signed", notice)
		}
		checkNotice(t, c, notice, err)
	})
}

// FuzzReadSignedNotice sends what Alipay's keys have signed, whatever it says.
func FuzzReadSignedNotice(f *testing.F) {
	p := thePlatform()
	c := p.load(f, nil)
	for _, fields := range []map[string]string{payment(), refunded(), closed(), with(payment(), "trade_status", "TRADE_FINISHED")} {
		f.Add(string(channeltest.Form(fields)))
	}
	f.Add("subject=%26total_amount%3D1.00&sign_type=RSA2")
	f.Fuzz(func(t *testing.T, body string) {
		form, err := url.ParseQuery(body)
		if err != nil {
			return
		}
		fields := map[string]string{"sign_type": "RSA2"}
		for name := range form {
			fields[name] = form.Get(name)
		}
		delete(fields, "alipay_cert_sn")
		notice, err := c.ReadNotice(nil, sign(t, p.newer, fields), noon)
		checkNotice(t, c, notice, err)
		if err == nil && notice.Event == channel.EventPaid && (fields["gmt_refund"] != "" || fields["out_biz_no"] != "") {
			t.Errorf("a refund is read as a payment: %s", body)
		}
	})
}

// checkNotice checks what holds of every notice, and of every refusal.
func checkNotice(t *testing.T, c *alipay.Channel, notice channel.Notice, err error) {
	t.Helper()
	if err != nil {
		channeltest.CheckRefusal(t, c, notice, err, noon)
		if reply := c.Reply(err, noon); string(reply.Body) != "fail" {
			t.Errorf("%v is answered with %s", err, reply.Body)
		}
		return
	}
	refund, of := notice.Event == channel.EventRefund, notice.Event != channel.EventOther
	if notice.ID == "" || notice.OccurredAt.IsZero() || of != (notice.MerchantID == sellerID) || of != (notice.AppID == appID) ||
		of != (notice.ChannelTxnID != "") || of != (notice.OutTradeNo != "") || refund != (notice.RefundNumber != "") ||
		refund != notice.RefundedTotal.IsPositive() || (of && !refund) != notice.Amount.IsPositive() ||
		refund != (notice.Refund == channel.RefundAnswer{State: channel.RefundSucceeded}) {
		t.Errorf("read %+v", notice)
	}
}

// FuzzReadAnswer hears bytes that anyone could send, and nodes that Alipay has signed, whatever they say.
func FuzzReadAnswer(f *testing.F) {
	p := thePlatform()
	dir := f.TempDir()
	settings := p.settingsIn(f, dir, nil)
	f.Add(200, `{"code":"10000","fund_change":"Y","refund_fee":"30.00","trade_no":"2026030222001435011433387454"}`)
	f.Add(200, `{"code":"10000","out_request_no":"rf_0123-4","refund_amount":"30.00","refund_status":"REFUND_SUCCESS",`+
		`"trade_no":"2026030222001435011433387454"}`)
	f.Add(200, `{"code":"10000","refund_status":"","fund_change":"N"}`)
	f.Add(200, `{"code":"40004","sub_code":"ACQ.TRADE_HAS_FINISHED","sub_msg":"\ud800"}`)
	f.Add(500, `{"code":"40004","sub_code":"ACQ.TRADE_NOT_EXIST"}`)
	f.Add(200, `[[[[`)
	f.Fuzz(func(t *testing.T, status int, text string) {
		for method, ask := range map[string]func(*alipay.Channel, tasks.RefundOrder) (channel.RefundAnswer, error){
			"alipay_trade_refund_response": func(c *alipay.Channel, o tasks.RefundOrder) (channel.RefundAnswer, error) {
				return c.Refund(t.Context(), o)
			},
			"alipay_trade_fastpay_refund_query_response": func(c *alipay.Channel, o tasks.RefundOrder) (channel.RefundAnswer, error) {
				return c.Query(t.Context(), o)
			},
		} {
			whole := `{"` + method + `":` + text + `,"sign":"` + signature(t, p.newer, text) + `"}`
			for body, genuine := range map[string]bool{text: false, `{"` + method + `":` + text + `}`: false, whole: true} {
				c, err := alipay.Load(dir, settings, &http.Client{Transport: channeltest.Answer{Status: status, Body: body}})
				if err != nil {
					t.Fatal(err)
				}
				answer, err := ask(c.WithClock(clock.Fixed(noon)), order())
				certain := err == nil || errors.Is(err, channel.ErrUnknownNumber)
				if certain && (!genuine || status != http.StatusOK) || err != nil && answer != (channel.RefundAnswer{}) {
					t.Errorf("%d %s: %+v, %v", status, body, answer, err)
				}
				if answer.State == channel.RefundSucceeded && !strings.Contains(text, "2026030222001435011433387454") && !strings.Contains(text, `\u`) {
					t.Errorf("%s is a success of our payment", text)
				}
			}
		}
	})
}

// FuzzReadPaymentAnswer hears bytes that anyone could send, and nodes that Alipay has signed, whatever they say.
func FuzzReadPaymentAnswer(f *testing.F) {
	p := thePlatform()
	dir := f.TempDir()
	settings := p.settingsIn(f, dir, nil)
	for _, fields := range []map[string]string{traded, with(traded, "trade_status", "TRADE_CLOSED"), untraded("TRADE_CLOSED"),
		untraded("WAIT_BUYER_PAY"), refusal("40004", "ACQ.TRADE_NOT_EXIST")} {
		f.Add(200, string(channeltest.Encode(f, fields)))
	}
	f.Add(200, `{"code":"10000","trade_status":{},"send_pay_date":null}`)
	f.Add(404, `]`)
	f.Fuzz(func(t *testing.T, status int, text string) {
		const name = "alipay_trade_query_response"
		whole := `{"` + name + `":` + text + `,"sign":"` + signature(t, p.newer, text) + `"}`
		for body, genuine := range map[string]bool{text: false, `{"` + name + `":` + text + `}`: false, whole: true} {
			c, err := alipay.Load(dir, settings, &http.Client{Transport: channeltest.Answer{Status: status, Body: body}})
			if err != nil {
				t.Fatal(err)
			}
			notice, err := c.WithClock(clock.Fixed(noon)).QueryPayment(t.Context(), recharge())
			channeltest.CheckPayment(t, recharge(), notice, err, secrets())
			certain := err == nil || errors.Is(err, channel.ErrUnpaid) || errors.Is(err, channel.ErrUnknownNumber)
			if certain && (!genuine || status != http.StatusOK) {
				t.Errorf("%d %s: %+v, %v", status, body, notice, err)
			}
		}
	})
}

// FuzzLoad reads settings that anyone could have written, over real files.
func FuzzLoad(f *testing.F) {
	p := thePlatform()
	dir := f.TempDir()
	f.Add(p.settingsIn(f, dir, nil))
	f.Add(p.settingsIn(f, dir, map[string]any{"alipay_public_keys": []any{"app.txt", 1}}))
	f.Add([]byte(`{"app_id":null}`))
	f.Fuzz(func(t *testing.T, settings []byte) {
		c, err := alipay.Load(dir, settings, http.DefaultClient)
		var bad *tasks.FieldError
		if err != nil && (!errors.As(err, &bad) || bad.Field == "" || c != nil || channeltest.Shows(err.Error(), secrets())) {
			t.Errorf("%v", err)
		}
		if err == nil && c.String() == "" {
			t.Error("a channel of no app")
		}
	})
}
