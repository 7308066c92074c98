package alipay_test

import (
	"encoding/base64"
	"encoding/pem"
	"errors"
	"net/url"
	"slices"
	"testing"
	"time"

	library "github.com/smartwalle/alipay/v3"
	"pgregory.net/rapid"

	"github.com/settled-dev/settled/channel"
	"github.com/settled-dev/settled/channel/channeltest"
	"github.com/settled-dev/settled/money"
)

// newLibrary is another reader of notices, with one key: a bare one, or a certificate's. As no production client, it fetches no
// certificate that a message names.
func newLibrary(t *testing.T, p *platform, certified bool) *library.Client {
	t.Helper()
	client, err := library.New(appID, base64.StdEncoding.EncodeToString(channeltest.PKCS8(t, p.app)), false)
	if err != nil {
		t.Fatal(err)
	}
	if certified {
		err = client.LoadAlipayCertPublicKey(encodePEM(p.certificate))
	} else {
		err = client.LoadAliPayPublicKey(base64.StdEncoding.EncodeToString(channeltest.PKIX(t, &p.newer.PublicKey)))
	}
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func encodePEM(der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

func TestLibraryAgreesOnRandomNotices(t *testing.T) {
	t.Parallel()
	p := thePlatform()
	c, bare, certified := p.load(t, nil), newLibrary(t, p, false), newLibrary(t, p, true)
	rapid.Check(t, func(r *rapid.T) {
		fen := rapid.Int64Range(1, money.MaxFen).Draw(r, "fen")
		fields := with(payment(), "out_trade_no", rapid.StringMatching(`rc[A-Za-z0-9_*-]{1,62}`).Draw(r, "out_trade_no"),
			"total_amount", money.FromFen(fen).String(), "subject", rapid.StringMatching(`.[^&]*`).Draw(r, "subject"),
			"passback_params", rapid.SampledFrom([]string{"", "a%3Db%26c", "A & B"}).Draw(r, "passback_params"))
		theirs, key := bare, p.newer
		if rapid.Bool().Draw(r, "certified") {
			theirs, key = certified, p.certified
			fields["alipay_cert_sn"] = certificateSN
		}
		body := tamper(r, sign(t, key, fields))

		values, err := url.ParseQuery(string(body))
		if err != nil {
			r.Skip("the library reads only what net/url has read")
		}
		read, theirErr := theirs.DecodeNotification(t.Context(), values)
		ours, ourErr := c.ReadNotice(nil, body, noon)
		if (theirErr == nil) != (ourErr == nil) {
			r.Fatalf("the library: %v\nwe: %v", theirErr, ourErr)
		}
		if ourErr == nil && (ours.Event != channel.EventPaid || ours.Amount.String() != read.TotalAmount || ours.Amount.Fen() != fen ||
			ours.OutTradeNo != read.OutTradeNo || ours.ChannelTxnID != read.TradeNo || ours.ID != read.NotifyId) {
			r.Fatalf("the library reads %+v\nwe read %+v", read, ours)
		}
	})
}

// tamper changes a message, or leaves it, in a way of which both readers must think alike. The library takes a sign of other last bits
// and any sign_type, so these are left alone.
func tamper(r *rapid.T, body []byte) []byte {
	values, err := url.ParseQuery(string(body))
	if err != nil {
		r.Fatal(err)
	}
	names := []string{"total_amount", "out_trade_no", "notify_id", "subject", "body", "trade_status", "seller_id", "gmt_payment"}
	name := rapid.SampledFrom(names).Draw(r, "field")
	switch rapid.SampledFrom([]string{"", "", "", "changed", "emptied", "gone", "added", "sign"}).Draw(r, "tamper") {
	case "changed":
		values.Set(name, values.Get(name)+rapid.SampledFrom([]string{" ", "0", "x", "\x00"}).Draw(r, "end"))
	case "emptied":
		values.Set(name, "")
	case "gone":
		values.Del(name)
	case "added":
		values.Set("zz_extra", rapid.SampledFrom([]string{"", "1"}).Draw(r, "extra"))
	case "sign":
		sign := []byte(values.Get("sign"))
		i := rapid.IntRange(0, len(sign)-4).Draw(r, "at")
		sign[i] = map[bool]byte{true: 'B', false: 'A'}[sign[i] == 'A']
		values.Set("sign", string(sign))
	}
	return []byte(values.Encode())
}

// The library verifies these, and leaves the rest to its caller.
func TestNoticesThatTheLibraryTakesAreReadWithCare(t *testing.T) {
	t.Parallel()
	p := thePlatform()
	c, theirs := p.load(t, nil), newLibrary(t, p, false)
	twice := string(sign(t, p.newer, with(payment(), "body", "-"))) + "&body=&body=" // signed as one text, with both
	values, err := url.ParseQuery(string(sign(t, p.newer, with(payment(), "body", "&body="))))
	if err != nil {
		t.Fatal(err)
	}
	values["body"] = []string{"", ""}
	if _, err := theirs.DecodeNotification(t.Context(), values); err != nil {
		t.Errorf("the library refuses a name twice: %v", err)
	}
	refused(t, c, "a name twice", []byte(values.Encode()), channel.ErrMalformed)
	refused(t, c, "a name twice, unsigned", []byte(twice), channel.ErrMalformed)
	for what, body := range map[string][]byte{
		"years old":     sign(t, p.newer, with(payment(), "notify_time", "2016-07-19 14:10:49")),
		"another app's": sign(t, p.newer, with(payment(), "app_id", "1")),
	} {
		values, err := url.ParseQuery(string(body))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := theirs.DecodeNotification(t.Context(), values); err != nil {
			t.Errorf("%s: the library says %v", what, err)
		}
		if got, err := c.ReadNotice(nil, body, noon); !errors.Is(err, channel.ErrStale) && !errors.Is(err, channel.ErrNotOurs) {
			t.Errorf("%s: %+v, %v", what, got, err)
		}
	}
}

// Both sides word the same call; RSA PKCS #1 v1.5 makes the same signature of the same text.
func TestLibraryWordsAndSignsTheSameRequest(t *testing.T) {
	t.Parallel()
	p := thePlatform()
	theirs := newLibrary(t, p, true)
	if err := theirs.LoadAppCertPublicKey(encodePEM(p.appCertificate)); err != nil {
		t.Fatal(err)
	}
	if err := theirs.LoadAliPayRootCert(encodePEM(p.root) + encodePEM([]byte("a certificate for SM2")) + encodePEM(p.certificate)); err != nil {
		t.Fatal(err)
	}
	g := &gateway{body: signedBy(t, p.certified, `{"code":"10000"}`)}
	if _, err := g.serve(t, nil).Refund(t.Context(), order()); err != nil {
		t.Fatal(err)
	}
	values, err := theirs.URLValues(library.TradeRefund{TradeNo: order().ChannelTxnID, RefundAmount: "30.00", OutRequestNo: order().Number})
	if err != nil {
		t.Fatal(err)
	}
	for name := range values {
		own := []string{"timestamp", "biz_content", "sign"} // theirs has the real time and a reason, which is empty
		if !slices.Contains(own, name) && values.Get(name) != g.asked.Get(name) {
			t.Errorf("%s: the library has %q, we have %q", name, values.Get(name), g.asked.Get(name))
		}
	}
	if len(values) != len(g.asked) {
		t.Errorf("the library has %d fields, we have %d", len(values), len(g.asked))
	}
	ours := g.asked.Get("sign")
	g.asked.Del("sign")
	raw, err := theirs.SignValues(g.asked)
	if err != nil || base64.StdEncoding.EncodeToString(raw) != ours {
		t.Errorf("the library signs our request otherwise: %v", err)
	}
	if _, err := time.Parse(time.DateTime, values.Get("timestamp")); err != nil {
		t.Errorf("the library's timestamp has another form: %v", err)
	}
}
