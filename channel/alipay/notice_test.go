package alipay_test

import (
	"errors"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/settled-dev/settled/channel"
	"github.com/settled-dev/settled/channel/alipay"
	"github.com/settled-dev/settled/channel/channeltest"
	"github.com/settled-dev/settled/money"
	"github.com/settled-dev/settled/tasks"
)

// paid is what payment tells.
func paid() channel.Notice {
	return channel.Notice{Channel: tasks.SourceAlipay, Event: channel.EventPaid, ID: "2026030200222195930037139002252424",
		MerchantID: sellerID, AppID: appID, OutTradeNo: "rc0123456789abcdef0123456789abcd", ChannelTxnID: "2026030222001435011433387454",
		Amount: money.FromFen(100_00), OccurredAt: paidAt}
}

func TestPaymentIsReadByWhicheverKeyHasSigned(t *testing.T) {
	t.Parallel()
	p := thePlatform()
	c := p.load(t, nil)
	for name, body := range map[string][]byte{
		"the older key":           sign(t, p.older, payment()),
		"the newer key":           sign(t, p.newer, payment()),
		"a certificate, named":    sign(t, p.certified, with(payment(), "alipay_cert_sn", certificateSN)),
		"a certificate, unnamed":  sign(t, p.certified, payment()),
		"a key, with no name":     sign(t, p.newer, with(payment(), "alipay_cert_sn", "")),
		"finished without refund": sign(t, p.newer, with(payment(), "trade_status", "TRADE_FINISHED", "gmt_close", "2026-03-02 19:59:59")),
		"funds spelled otherwise": sign(t, p.newer, with(payment(), "fund_bill_list", `[{"amount":"99.00","fund_channel":"ALIPAYACCOUNT"}]`)),
		"words of the merchant":   sign(t, p.newer, with(payment(), "passback_params", "merchantBizType%3d3C%26merchantBizNo%3d2016010101111")),
		"no refund, said so":      sign(t, p.newer, with(payment(), "refund_fee", "0.00", "gmt_refund", "", "out_biz_no", "", "gmt_close", "x")),
	} {
		got, err := c.ReadNotice(http.Header{}, body, noon)
		if diff := cmp.Diff(paid(), got); diff != "" || err != nil || got.OccurredAt.Location() != time.UTC {
			t.Errorf("%s: %v (-want +got):\n%s", name, err, diff)
		}
	}
}

func TestEventsOfATradeAreToldApart(t *testing.T) {
	t.Parallel()
	p := thePlatform()
	c := p.load(t, nil)
	change := func(change func(*channel.Notice)) channel.Notice {
		notice := paid()
		change(&notice)
		return notice
	}
	refundOf := func(fen int64, at time.Time) channel.Notice {
		return change(func(n *channel.Notice) {
			n.Event, n.Amount, n.RefundedTotal, n.RefundNumber = channel.EventRefund, money.Amount{}, money.FromFen(fen), "rf_0123-4"
			n.OccurredAt, n.Refund = at, channel.RefundAnswer{State: channel.RefundSucceeded}
		})
	}
	other := channel.Notice{Channel: tasks.SourceAlipay, Event: channel.EventOther, ID: paid().ID, OccurredAt: noon}
	refundedAt := time.Date(2026, 3, 2, 11, 59, 45, 287e6, time.UTC)
	for name, c2 := range map[string]struct {
		fields map[string]string
		want   channel.Notice
	}{
		"a part is refunded, which is no payment": {refunded(), refundOf(30_00, refundedAt)},
		"another part is refunded, the total told": {with(refunded(), "refund_fee", "70.50", "gmt_refund", "2026-03-02 19:59:30"),
			refundOf(70_50, paidAt)},
		"all is refunded": {with(refunded(), "trade_status", "TRADE_CLOSED", "refund_fee", "100.00", "gmt_close", "2026-03-02 19:59:45"),
			refundOf(100_00, refundedAt)},
		"a part goes to a card, whose bank takes it": {with(refunded(), "dback_status", "S", "dback_amount", "30.00", "bank_ack_time",
			"2026-03-02 19:59:59"), refundOf(30_00, refundedAt)},
		"a part goes to a card, whose bank refuses it: then it is the buyer's balance at Alipay": {with(refunded(), "dback_status", "F"),
			refundOf(30_00, refundedAt)},
		"nobody paid": {closed(), change(func(n *channel.Notice) {
			n.Event, n.OccurredAt = channel.EventClosed, time.Date(2026, 3, 2, 11, 59, 50, 0, time.UTC)
		})},
		"the time for refunds is over after one": {with(refunded(), "trade_status", "TRADE_FINISHED"), other},
		"it waits for the payer":                 {with(payment(), "trade_status", "WAIT_BUYER_PAY", "gmt_payment", "-"), other},
		"no trade at all":                        {with(payment(), "notify_type", "open_app_auth_notify", "trade_no", "-"), other},
	} {
		got, err := c.ReadNotice(nil, sign(t, p.newer, c2.fields), noon)
		if diff := cmp.Diff(c2.want, got); diff != "" || err != nil {
			t.Errorf("%s: %v (-want +got):\n%s", name, err, diff)
		}
	}
}

// Two libraries disagree on each of these messages; Alipay's own SDK keeps empty values.
func TestEmptyValuesAreSigned(t *testing.T) {
	t.Parallel()
	p := thePlatform()
	c := p.load(t, nil)
	fields := payment()
	full := maps.Clone(fields)
	maps.DeleteFunc(full, func(_, value string) bool { return value == "" })
	fields["sign"] = signature(t, p.newer, signedText(full))
	got, err := c.ReadNotice(nil, channeltest.Form(fields), noon)
	if !errors.Is(err, channel.ErrNotGenuine) || !errors.Is(err, channel.ErrOtherRule) || got != (channel.Notice{}) {
		t.Errorf("signed without them: %v, %+v", err, got)
	}
	if _, err := c.ReadNotice(nil, sign(t, p.newer, payment()), noon); err != nil {
		t.Errorf("signed with them: %v", err)
	}
	for name, body := range map[string][]byte{
		"a stranger's":           sign(t, p.stranger, payment()),
		"of no empty value":      channeltest.Form(with(full, "sign", fields["sign"], "total_amount", "1.00")),
		"of no empty value, too": sign(t, p.stranger, full),
	} {
		if _, err := c.ReadNotice(nil, body, noon); !errors.Is(err, channel.ErrNotGenuine) || errors.Is(err, channel.ErrOtherRule) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestNoticesAreVerifiedInTheirOwnCharset(t *testing.T) {
	t.Parallel()
	p := thePlatform()
	c := p.load(t, nil)
	const recharge = "\xb3\xe4\xd6\xb5" // 充值 in GBK
	for _, charset := range []string{"GBK", "gbk", "GB2312"} {
		fields := with(payment(), "charset", charset, "subject", recharge)
		if got, err := c.ReadNotice(nil, sign(t, p.newer, fields), noon); err != nil || got.Event != channel.EventPaid {
			t.Errorf("%s: %+v, %v", charset, got, err)
		}
		fields["sign"] = signature(t, p.newer, signedText(with(fields, "subject", "充值")))
		refused(t, c, charset+" converted", channeltest.Form(fields), channel.ErrNotGenuine)
	}
	for _, charset := range []string{"UTF-16", "ISO-2022-CN", "", "-"} {
		refused(t, c, "charset "+charset, sign(t, p.newer, with(payment(), "charset", charset)), channel.ErrMalformed)
	}
}

func TestNoOtherByteOfTheMessageIsTaken(t *testing.T) {
	t.Parallel()
	p := thePlatform()
	c := p.load(t, nil)
	want, _ := url.ParseQuery(string(sign(t, p.certified, with(payment(), "alipay_cert_sn", certificateSN))))
	body := []byte(want.Encode())
	same := 0
	for i := range body {
		for bit := range 8 {
			other := slices.Clone(body)
			other[i] ^= 1 << bit
			got, err := c.ReadNotice(nil, other, noon)
			if err == nil {
				// The letters of an escape may change case: the values stay, and they are what is signed.
				if values, parseErr := url.ParseQuery(string(other)); parseErr != nil || !cmp.Equal(values, want) || got != paid() {
					t.Errorf("byte %d, bit %d: read %+v", i, bit, got)
				}
				same++
				continue
			}
			if got != (channel.Notice{}) || !errors.Is(err, channel.ErrNotGenuine) && !errors.Is(err, channel.ErrMalformed) {
				t.Errorf("byte %d, bit %d: %v, %+v", i, bit, err, got)
			}
		}
	}
	if escapes := strings.Count(string(body), "%"); same == 0 || same > 2*escapes {
		t.Errorf("%d changed messages with %d escapes say the same", same, escapes)
	}
	for i := range body {
		if got, err := c.ReadNotice(nil, body[:i], noon); err == nil || got != (channel.Notice{}) {
			t.Errorf("the first %d bytes: %+v", i, got)
		}
	}
}

// refused expects the error and no notice.
func refused(t *testing.T, c *alipay.Channel, what string, body []byte, want error) {
	t.Helper()
	got, err := c.ReadNotice(nil, body, noon)
	if !errors.Is(err, want) || got != (channel.Notice{}) {
		t.Errorf("%s: %v, notice %+v, want %v", what, err, got, want)
	}
}

// The payer's browser comes back with parameters that Alipay's key has signed, and he sees them: they name the order and its amount, as
// soon as he is sent back. So do answers to queries.
func TestWhatTheBrowserBringsBackIsNoNotice(t *testing.T) {
	t.Parallel()
	p := thePlatform()
	c := p.load(t, nil)
	returned := map[string]string{"charset": "UTF-8", "out_trade_no": paid().OutTradeNo, "method": "alipay.trade.page.pay.return",
		"total_amount": "100.00", "trade_no": paid().ChannelTxnID, "auth_app_id": appID, "version": "1.0", "app_id": appID,
		"sign_type": "RSA2", "seller_id": sellerID, "timestamp": "2026-03-02 19:59:45"}
	refused(t, c, "as it comes", sign(t, p.newer, returned), channel.ErrMalformed)
	marks := []string{"notify_time", "notify_type", "notify_id", "trade_status", "gmt_payment"}
	for _, missing := range marks {
		marked := maps.Clone(returned)
		for _, mark := range marks {
			if mark != missing {
				marked[mark] = payment()[mark]
			}
		}
		refused(t, c, "with all of a notice but "+missing, sign(t, p.newer, marked), channel.ErrMalformed)
	}
	for name, text := range map[string]string{"a query": node(t, queried), "a refund": node(t, done)} {
		signed := text + "&sign_type=RSA2&sign=" + url.QueryEscape(signature(t, p.newer, text))
		refused(t, c, "an answer to "+name, []byte(signed), channel.ErrMalformed)
		inName := url.QueryEscape(text) + "=&sign_type=RSA2&sign=" + url.QueryEscape(signature(t, p.newer, text+"="))
		refused(t, c, "an answer to "+name+" as a name", []byte(inName), channel.ErrMalformed)
	}
}

func TestMessagesThatAreNotTheChannelsAreRefused(t *testing.T) {
	t.Parallel()
	p := thePlatform()
	c := p.load(t, nil)
	genuine := signature(t, p.newer, signedText(payment()))
	resigned := func(changes ...string) []byte { return sign(t, p.newer, with(payment(), changes...)) }
	replaced := func(changes ...string) []byte {
		return channeltest.Form(with(with(payment(), "sign", genuine), changes...))
	}
	for name, body := range map[string][]byte{
		"another amount":                  replaced("total_amount", "1000.00"),
		"another order":                   replaced("out_trade_no", "rc1"),
		"another time":                    replaced("notify_time", "2026-03-02 20:00:01"),
		"a refund made a payment":         channeltest.Form(with(payment(), "sign", signature(t, p.newer, signedText(refunded())))),
		"a field more":                    replaced("extra", "1"),
		"an empty field more":             replaced("extra", ""),
		"a field less":                    replaced("body", "-"),
		"a stranger's":                    sign(t, p.stranger, payment()),
		"the app's own":                   sign(t, p.app, payment()),
		"no signature":                    replaced("sign", "-"),
		"an empty signature":              replaced("sign", ""),
		"a signature that is no base64":   replaced("sign", strings.Repeat("*", 344)),
		"a signature in two lines":        replaced("sign", genuine[:76]+"\n"+genuine[76:]),
		"a signature without padding":     replaced("sign", strings.TrimRight(genuine, "=")),
		"a signature with a space":        replaced("sign", " "+genuine),
		"a plus that was not escaped":     []byte(strings.ReplaceAll(string(replaced()), "%2B", "+")),
		"half a signature":                replaced("sign", genuine[:172]),
		"semicolons":                      []byte(strings.ReplaceAll(string(replaced()), "&", ";")),
		"the older scheme":                resigned("sign_type", "RSA"),
		"no scheme":                       resigned("sign_type", "-"),
		"the scheme in lower case":        resigned("sign_type", "rsa2"),
		"an unknown certificate":          resigned("alipay_cert_sn", serialOf("1")),
		"a key by the certificate's name": resigned("alipay_cert_sn", certificateSN),
		"a certificate in capitals":       sign(t, p.certified, with(payment(), "alipay_cert_sn", strings.ToUpper(certificateSN))),
		"one key's text by another":       replaced("alipay_cert_sn", certificateSN),
	} {
		refused(t, c, name, body, channel.ErrNotGenuine)
	}
}

func TestQueryOfTheAddressDoesNotCount(t *testing.T) {
	t.Parallel()
	p := thePlatform()
	c := p.load(t, nil)
	body := sign(t, p.newer, payment())
	header := http.Header{"Content-Type": {"application/json"}, "X-Total_amount": {"1000.00"}}
	if got, err := c.ReadNotice(header, body, noon); err != nil || got != paid() {
		t.Errorf("%+v, %v", got, err)
	}
	refused(t, c, "merged with a query", append([]byte("from=alipay&"), body...), channel.ErrNotGenuine)
}

func TestFormsThatAreOddAreMalformed(t *testing.T) {
	t.Parallel()
	p := thePlatform()
	c := p.load(t, nil)
	good := string(sign(t, p.newer, payment()))
	for name, body := range map[string]string{
		"nothing": "", "text": "x", "JSON": `{"total_amount":"100.00"}`, "a name twice": good + "&total_amount=100.00",
		"a name twice, hidden": good + "&total%5Famount=100.00", "a name twice, empty": good + "&body=", "sign twice": good + "&sign=x",
		"an escape cut off": good + "&x=%4", "an escape of nothing": good + "&x=%zz", "no name": good + "&=1", "no equals sign": good + "&x",
		"an empty part": good + "&", "two ampersands": strings.Replace(good, "&", "&&", 1),
		"a name in capitals": good + "&App_id=1", "a name with an ampersand": good + "&a%26b=1", "a name with a space": good + "&a+b=1",
		"a long name": good + "&" + strings.Repeat("x", 65) + "=1", "a zero byte in a name": good + "&x%00=1",
		"many fields": good + strings.Repeat("&x=1", 200), "too large": good + "&x=" + strings.Repeat("1", 64<<10),
	} {
		refused(t, c, name, []byte(body), channel.ErrMalformed)
	}
}

// Whoever chooses a subject could have Alipay sign what reads as another trade.
func TestSignedTextIsReadInOneWay(t *testing.T) {
	t.Parallel()
	p := thePlatform()
	c := p.load(t, nil)
	cheap := with(payment(), "total_amount", "0.01", "subject", "a&total_amount=100.00&total_b=x", "voucher_detail_list", "-")
	forged := with(cheap, "subject", "a", "total_amount", "100.00", "total_b", "x&total_amount=0.01",
		"sign", signature(t, p.newer, signedText(cheap)))
	if signedText(cheap) != signedText(forged) {
		t.Fatalf("the texts differ:\n%s\n%s", signedText(cheap), signedText(forged))
	}
	refused(t, c, "a forged amount", channeltest.Form(forged), channel.ErrMalformed)
	refused(t, c, "the notice that it was made of", sign(t, p.newer, cheap), channel.ErrMalformed)
	for _, subject := range []string{"&x=1", "&&x=", "a=b&c1_=", "&a&b=", "&a=&"} {
		refused(t, c, subject, sign(t, p.newer, with(payment(), "subject", subject)), channel.ErrMalformed)
	}
	for _, subject := range []string{"a=b", "A&B", "&", "&=", "a&=b", "&A=1", "& x=1", "&x", "&x&y", "100%", "a+b", "&充=1"} {
		if got, err := c.ReadNotice(nil, sign(t, p.newer, with(payment(), "subject", subject)), noon); err != nil || got != paid() {
			t.Errorf("%q: %+v, %v", subject, got, err)
		}
	}
}

func TestNoticesOutsideTheWindowAreStale(t *testing.T) {
	t.Parallel()
	p := thePlatform()
	c := p.load(t, nil)
	body := sign(t, p.newer, payment())
	for _, age := range []time.Duration{-15 * time.Minute, 0, 24*time.Hour + 24*time.Minute, 26 * time.Hour} {
		if got, err := c.ReadNotice(nil, body, noon.Add(age)); err != nil || got != paid() {
			t.Errorf("%v old: %+v, %v", age, got, err)
		}
	}
	for _, age := range []time.Duration{-15*time.Minute - time.Second, 26*time.Hour + time.Second, 366 * 24 * time.Hour, -9 * time.Hour} {
		if got, err := c.ReadNotice(nil, body, noon.Add(age)); !errors.Is(err, channel.ErrStale) || got != (channel.Notice{}) {
			t.Errorf("%v old: %+v, %v", age, got, err)
		}
	}
	tampered := channeltest.Form(with(payment(), "sign", signature(t, p.newer, "x"), "notify_time", "2020-01-01 00:00:00"))
	refused(t, c, "old and not genuine", tampered, channel.ErrNotGenuine)
}

func TestCertificateCountsWhileItIsValidOnly(t *testing.T) {
	t.Parallel()
	p := thePlatform()
	c := p.load(t, nil)
	for _, at := range []time.Time{noon.AddDate(0, 7, 0), noon.AddDate(0, -7, 0)} {
		fields := with(payment(), "notify_time", at.Add(8*time.Hour).Format(time.DateTime))
		for name, body := range map[string][]byte{
			"named":   sign(t, p.certified, with(fields, "alipay_cert_sn", certificateSN)),
			"unnamed": sign(t, p.certified, fields),
		} {
			if got, err := c.ReadNotice(nil, body, at); !errors.Is(err, channel.ErrNotGenuine) {
				t.Errorf("%s at %v: %+v, %v", name, at, got, err)
			}
		}
		if _, err := c.ReadNotice(nil, sign(t, p.older, fields), at); err != nil {
			t.Errorf("a public key at %v: %v", at, err)
		}
	}
}

func TestGenuineNoticesWithAnythingOddAreMalformed(t *testing.T) {
	t.Parallel()
	p := thePlatform()
	c := p.load(t, nil)
	long := strings.Repeat("a", 129)
	for _, c2 := range []struct {
		fields map[string]string
		name   string
		values []string
	}{
		{payment(), "notify_time", []string{"-", "", "2026-03-02T20:00:00", "2026-3-2 20:00:00", "2026-03-02 8:00:00", "1772452800",
			"2026-03-02 20:00:00 ", "2026-02-30 20:00:00", "1970-01-01 00:00:00", "9999-01-01 00:00:00", "2026-03-02 20:00:00.5"}},
		{payment(), "notify_id", []string{"-", "", "a b", long, "a\n"}},
		{payment(), "notify_type", []string{"-", "", "trade status"}},
		{payment(), "app_id", []string{"-", ""}},
		{payment(), "seller_id", []string{"-", "", "2088 "}},
		{payment(), "trade_status", []string{"-", "", "trade_success", "TRADE_PENDING", "TRADE_SUCCESS ", "TRADE_REFUND"}},
		{payment(), "out_trade_no", []string{"-", "", "a b", long[:65], "ａ", "\x00"}},
		{payment(), "trade_no", []string{"-", "", "20\n", "２０２６", "\xff"}},
		{payment(), "total_amount", []string{"-", "", "0.00", "-1.00", "+1.00", "100", "100.0", "100.000", "1e2", "1,000.00", "0100.00", ".50",
			"100.00 ", " 100.00", "１００.00", "NaN", "100000000000.01", "99999999999999999999.00", "100.00&x"}},
		{payment(), "gmt_payment", []string{"-", "", "2026-03-02", "2026-03-02 19:59:60", "2026-03-02 19:59:30+08:00"}},
		{payment(), "refund_fee", []string{"30.00", "0", "0.000", "x"}},
		{payment(), "gmt_refund", []string{"2026-03-02 19:59:45.287", "x"}},
		{payment(), "out_biz_no", []string{"rf1"}},
		{with(payment(), "trade_status", "TRADE_FINISHED"), "gmt_refund", []string{"2026-03-02 19:59:45"}},
		{with(payment(), "trade_status", "WAIT_BUYER_PAY"), "out_biz_no", []string{"rf1"}},
		{with(refunded(), "trade_status", "WAIT_BUYER_PAY"), "version", []string{"1.0"}},
		{closed(), "gmt_close", []string{"-", "", "now"}},
		{closed(), "out_biz_no", []string{"rf1"}},
		{closed(), "total_amount", []string{"-", "0.00"}},
		{refunded(), "refund_fee", []string{"-", "", "0.00", "-30.00", "30", "30.001", "100.01", "NaN"}},
		{refunded(), "gmt_refund", []string{"-", "", "2026-03-02 19:59:45.2", "2026-03-02 19:59:45,287", "2026-03-02 19:59:45.287123"}},
		{refunded(), "out_biz_no", []string{"-", "", "rf 1", long[:65]}},
		{refunded(), "total_amount", []string{"-", "29.99"}},
		{refunded(), "trade_no", []string{"-"}},
		{refunded(), "out_trade_no", []string{"-"}},
	} {
		for _, value := range c2.values {
			if value == c2.fields[c2.name] && c2.name != "version" {
				t.Errorf("%s %q changes nothing", c2.name, value)
			}
			refused(t, c, c2.fields["trade_status"]+" with "+c2.name+" "+strconv.Quote(value),
				sign(t, p.newer, with(c2.fields, c2.name, value)), channel.ErrMalformed)
		}
	}
}

func TestNoticesForOthersAreNotOurs(t *testing.T) {
	t.Parallel()
	p := thePlatform()
	c := p.load(t, nil)
	for name, fields := range map[string]map[string]string{"payment": payment(), "refund": refunded(), "close": closed()} {
		for _, of := range []string{"app_id", "seller_id"} {
			refused(t, c, name+" of another "+of, sign(t, p.newer, with(fields, of, "2088000000000001")), channel.ErrNotOurs)
		}
	}
	refused(t, c, "another app's message", sign(t, p.newer, with(payment(), "app_id", "1", "notify_type", "x")), channel.ErrNotOurs)
}

func TestErrorsOfNoticesQuoteNothing(t *testing.T) {
	t.Parallel()
	p := thePlatform()
	c := p.load(t, nil)
	const secret = "hunter2"
	for _, body := range [][]byte{[]byte(secret), []byte(secret + "=1&" + secret + "=1"), sign(t, p.newer, with(payment(), "total_amount", secret)),
		sign(t, p.newer, with(payment(), "notify_time", secret)), sign(t, p.newer, with(payment(), "trade_status", secret)),
		sign(t, p.stranger, with(payment(), "subject", secret)), sign(t, p.newer, with(payment(), "alipay_cert_sn", secret)),
		sign(t, p.newer, with(payment(), "sign_type", secret)), sign(t, p.newer, with(payment(), "subject", "&"+secret+"=1"))} {
		_, err := c.ReadNotice(nil, body, noon)
		if err == nil || strings.Contains(err.Error(), secret) {
			t.Errorf("%v", err)
		}
	}
}

func TestRepliesToProblemsNeverReadAsSuccess(t *testing.T) {
	t.Parallel()
	c := thePlatform().load(t, nil)
	for problem, want := range map[error]int{
		channel.ErrNotGenuine: 401, channel.ErrProbe: 401, channel.ErrStale: 401, channel.ErrMalformed: 400, channel.ErrNotOurs: 403,
		errors.New("database: success"): 503,
	} {
		reply := c.Reply(problem, noon)
		if reply.Status != want || string(reply.Body) != "fail" {
			t.Errorf("%v: %d %s %s", problem, reply.Status, reply.ContentType, reply.Body)
		}
	}
	if got := c.Reply(nil, noon); got.Status != 200 || string(got.Body) != "success" {
		t.Errorf("without a problem: %+v", got)
	}
}
