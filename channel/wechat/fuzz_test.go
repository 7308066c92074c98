package wechat_test

import (
	"net/http"
	"testing"

	"github.com/settled-dev/settled/channel"
	"github.com/settled-dev/settled/channel/channeltest"
	"github.com/settled-dev/settled/channel/wechat"
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
