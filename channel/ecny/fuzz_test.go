package ecny_test

import (
	"net/http"
	"testing"

	"github.com/emmansun/gmsm/sm2"

	"github.com/settled-dev/settled/channel"
	"github.com/settled-dev/settled/channel/channeltest"
	"github.com/settled-dev/settled/channel/ecny"
)

// FuzzReadNotice sends bytes that anyone could send. Of them, only those of the seeds were ever signed, and those say what they say in
// whatever escapes.
func FuzzReadNotice(f *testing.F) {
	b := theBank()
	c := b.load(f, nil)
	signed := map[channel.Notice]bool{}
	for _, content := range []map[string]any{payment(), with(payment(), "tradeState", "C"), refunded(), with(refunded(), "refundState", "F")} {
		for _, key := range []*sm2.PrivateKey{b.old, b.current} {
			body := channeltest.Form(pad(f, sign(f, envelope(channeltest.Encode(f, content)), key)))
			notice, err := c.ReadNotice(nil, body, noon)
			if err != nil {
				f.Fatal(err)
			}
			signed[notice] = true
			f.Add(body)
		}
	}
	f.Add([]byte(nil))
	f.Add([]byte("sign=MEYCIQ&signMethod=02&biz_content={}"))
	f.Add([]byte("a=1&a=2&%zz"))
	f.Fuzz(func(t *testing.T, body []byte) {
		notice, err := c.ReadNotice(nil, body, noon)
		if err == nil && !signed[notice] {
			t.Errorf("read %+v from a message that nobody has signed", notice)
		}
		checkNotice(t, c, notice, err)
	})
}

// FuzzReadSignedNotice sends what the bank has signed, whatever it says.
func FuzzReadSignedNotice(f *testing.F) {
	b := theBank()
	c := b.load(f, nil)
	f.Add(channeltest.Encode(f, payment()), "x", "y")
	f.Add(channeltest.Encode(f, refunded()), "encryptKey", "")
	f.Add(channeltest.Encode(f, with(with(refunded(), "refundState", "S"), "tradeState", "R")), "version", "0.0.2")
	f.Add([]byte("null"), "biz_content", "[[[[")
	f.Fuzz(func(t *testing.T, content []byte, name, value string) {
		for _, fields := range []map[string]string{envelope(content), replaced(envelope(content), name, value)} {
			body := channeltest.Form(sign(t, fields, b.current))
			notice, err := c.ReadNotice(nil, body, noon)
			checkNotice(t, c, notice, err)
		}
	})
}

// checkNotice checks what holds of every notice, and of every refusal.
func checkNotice(t *testing.T, c *ecny.Channel, notice channel.Notice, err error) {
	t.Helper()
	if err != nil {
		channeltest.CheckRefusal(t, c, notice, err, noon)
		return
	}
	isPaid, isRefund := notice.Event == channel.EventPaid, notice.Event == channel.EventRefund
	if notice.TimeUnknown && !isPaid || notice.MerchantID != merID || notice.OccurredAt.IsZero() || (isPaid || isRefund) != notice.Amount.IsPositive() ||
		isRefund == (notice.ChannelTxnID != "") || isRefund == (notice.OutTradeNo != "") || isRefund != (notice.RefundNumber != "") ||
		isRefund != (notice.Refund.State != "") || !notice.Refund.EndedAt.IsZero() {
		t.Errorf("read %+v", notice)
	}
}

func FuzzLoad(f *testing.F) {
	b := theBank()
	dir := f.TempDir()
	f.Add(b.settingsIn(f, dir, nil), []byte(privateHex(b.merchant)), publicDER(f, b.current))
	f.Add([]byte("{}"), channeltest.PEM("EC PRIVATE KEY", []byte{0x30, 0}), channeltest.PEM("PUBLIC KEY", publicDER(f, b.old)))
	f.Fuzz(func(t *testing.T, settings, private, public []byte) {
		dir := t.TempDir()
		good := b.settingsIn(t, dir, nil)
		channeltest.Write(t, dir, "merchant_key.txt", private)
		channeltest.Write(t, dir, "bank_current.txt", public)
		for _, text := range [][]byte{settings, good} {
			c, err := ecny.Load(dir, text, http.DefaultClient)
			if (c == nil) != (err != nil) {
				t.Errorf("%v, %v", c, err)
			}
			if err == nil && c.Reply(nil, noon).Status != 200 {
				t.Error("the key that was loaded cannot sign")
			}
		}
	})
}
