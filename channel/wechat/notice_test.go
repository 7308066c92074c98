package wechat_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/settled-dev/settled/channel"
	"github.com/settled-dev/settled/channel/channeltest"
	"github.com/settled-dev/settled/channel/wechat"
	"github.com/settled-dev/settled/money"
	"github.com/settled-dev/settled/tasks"
)

func TestPaymentIsReadFromTheNoticeThatSaysSo(t *testing.T) {
	t.Parallel()
	p := thePlatform()
	c := p.load(t, nil)
	want := channel.Notice{Channel: tasks.SourceWeChat, Event: channel.EventPaid, ID: "EV-2026030211593000001", MerchantID: mchID,
		AppID: appID, OutTradeNo: "rc0123456789abcdef0123456789abcd", ChannelTxnID: "4200001234202603021234567890",
		Amount: money.FromFen(100_00), OccurredAt: paidAt}
	body := wrap(t, "TRANSACTION.SUCCESS", channeltest.Encode(t, payment()))
	for _, serial := range []string{p.serial(), publicID} {
		for _, age := range []time.Duration{0, 299 * time.Second, -299 * time.Second} {
			got, err := c.ReadNotice(p.sign(t, body, noon, serial), body, noon.Add(age))
			if diff := cmp.Diff(want, got); diff != "" || err != nil {
				t.Errorf("signed by %s, %v old: %v (-want +got):\n%s", serial, age, err, diff)
			}
		}
	}
	header := p.sign(t, body, noon, publicID)
	header.Del("Wechatpay-Signature-Type")
	if got, err := c.ReadNotice(header, body, noon); err != nil || got.OccurredAt.Location() != time.UTC {
		t.Errorf("without a signature type: %+v, %v", got, err)
	}
}

func TestEmptyAssociatedDataIsTaken(t *testing.T) {
	t.Parallel()
	p := thePlatform()
	c := p.load(t, nil)
	for name, change := range map[string]func(map[string]any){
		"empty":  func(map[string]any) {},
		"absent": func(resource map[string]any) { delete(resource, "associated_data") },
		"null":   func(resource map[string]any) { resource["associated_data"] = nil },
	} {
		resource := seal(t, channeltest.Encode(t, payment()), "")
		change(resource)
		body := channeltest.Encode(t, envelope("TRANSACTION.SUCCESS", resource))
		if got, err := c.ReadNotice(p.sign(t, body, noon, p.serial()), body, noon); err != nil || got.Event != channel.EventPaid {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}

func TestRefundNoticesSayHowTheRefundEnded(t *testing.T) {
	t.Parallel()
	p := thePlatform()
	c := p.load(t, nil)
	createdAt := noon
	for status, want := range map[string]struct {
		answer channel.RefundAnswer
		at     time.Time
	}{
		"SUCCESS":  {channel.RefundAnswer{State: channel.RefundSucceeded, EndedAt: paidAt}, paidAt},
		"CLOSED":   {channel.RefundAnswer{State: channel.RefundFailed, Reason: "CLOSED"}, createdAt},
		"ABNORMAL": {channel.RefundAnswer{State: channel.RefundFailed, Reason: "ABNORMAL"}, createdAt},
	} {
		body := wrap(t, "REFUND."+status, channeltest.Encode(t, refunded(status)))
		got, err := c.ReadNotice(p.sign(t, body, noon, publicID), body, noon)
		if diff := cmp.Diff(channel.Notice{Channel: tasks.SourceWeChat, Event: channel.EventRefund, ID: "EV-2026030211593000001",
			MerchantID: mchID, OutTradeNo: "o1", ChannelTxnID: "4200001234202603021234567890", Amount: money.FromFen(30_00),
			OccurredAt: want.at, RefundNumber: "rf_0123-4", Refund: want.answer}, got); diff != "" || err != nil {
			t.Errorf("%s: %v (-want +got):\n%s", status, err, diff)
		}
	}
}

// What the merchant has taken back after ABNORMAL has not come to the user: it is the same failure, told again.
func TestRefundThatTheMerchantReceivedHasFailed(t *testing.T) {
	t.Parallel()
	p := thePlatform()
	c := p.load(t, nil)
	for account, want := range map[any]channel.RefundAnswer{
		"商户基本账户":      {State: channel.RefundFailed, Reason: "ABNORMAL"},
		"商户结算银行账户":    {State: channel.RefundFailed, Reason: "ABNORMAL"},
		"支付用户零钱":      {State: channel.RefundSucceeded, EndedAt: paidAt},
		"支付用户零钱通":     {State: channel.RefundSucceeded, EndedAt: paidAt},
		"招商银行信用卡0403": {State: channel.RefundSucceeded, EndedAt: paidAt},
		nil:           {State: channel.RefundSucceeded, EndedAt: paidAt},
	} {
		content := refunded("SUCCESS")
		content["user_received_account"] = account
		body := wrap(t, "REFUND.SUCCESS", channeltest.Encode(t, content))
		got, err := c.ReadNotice(p.sign(t, body, noon, publicID), body, noon)
		if diff := cmp.Diff(want, got.Refund); diff != "" || err != nil {
			t.Errorf("a notice of %v: %v (-want +got):\n%s", account, err, diff)
		}
		g := &gateway{status: 200, serial: publicID, at: noon, body: said(t, "SUCCESS", func(content map[string]any) {
			content["user_received_account"] = account
		})}
		answer, err := g.serve(t).Query(t.Context(), order())
		if diff := cmp.Diff(want, answer); diff != "" || err != nil {
			t.Errorf("an answer of %v: %v (-want +got):\n%s", account, err, diff)
		}
	}
}

func TestEventsThatMoveNothingAreReadAsOthers(t *testing.T) {
	t.Parallel()
	p := thePlatform()
	c := p.load(t, nil)
	for _, event := range []string{"COUPON.USE", "PAYSCORE.USER_OPEN_SERVICE", "REFUND.PROCESSING", "transaction.success"} {
		body := channeltest.Encode(t, envelope(event, nil))
		got, err := c.ReadNotice(p.sign(t, body, noon, p.serial()), body, noon)
		if diff := cmp.Diff(channel.Notice{Channel: tasks.SourceWeChat, Event: channel.EventOther, ID: "EV-2026030211593000001",
			OccurredAt: noon}, got); diff != "" || err != nil {
			t.Errorf("%s: %v (-want +got):\n%s", event, err, diff)
		}
	}
}

func TestNoOtherByteOfTheMessageIsTaken(t *testing.T) {
	t.Parallel()
	p := thePlatform()
	c := p.load(t, nil)
	body := wrap(t, "TRANSACTION.SUCCESS", channeltest.Encode(t, payment()))
	for _, serial := range []string{p.serial(), publicID} {
		header := p.sign(t, body, noon, serial)
		for i := range body {
			for _, bit := range []byte{1, 1 << (i % 8), 0x20} {
				other := []byte(string(body))
				other[i] ^= bit
				refused(t, c, "byte "+strconv.Itoa(i)+" of the body", header, other, channel.ErrNotGenuine)
			}
		}
		for name := range header {
			if name == "Content-Type" {
				continue
			}
			for i := range header.Get(name) {
				for _, bit := range []byte{1, 1 << (i % 8), 0x20} {
					value := []byte(header.Get(name))
					value[i] ^= bit
					other := header.Clone()
					other[name] = []string{string(value)}
					refused(t, c, "byte "+strconv.Itoa(i)+" of "+name, other, body, channel.ErrNotGenuine)
				}
			}
		}
		refused(t, c, "a byte less", header, body[:len(body)-1], channel.ErrNotGenuine)
		refused(t, c, "a byte more", header, append([]byte(string(body)), '\n'), channel.ErrNotGenuine)
	}
}

// refused expects the error and no notice.
func refused(t *testing.T, c *wechat.Channel, what string, header http.Header, body []byte, want error) {
	t.Helper()
	got, err := c.ReadNotice(header, body, noon)
	if !errors.Is(err, want) || got != (channel.Notice{}) {
		t.Errorf("%s: %v, notice %+v, want %v", what, err, got, want)
	}
}

// An answer is signed as a notice is, by the same keys. It has no event, and nothing that is encrypted for us.
func TestAnswersAreNoNotices(t *testing.T) {
	t.Parallel()
	p := thePlatform()
	c := p.load(t, nil)
	for name, answer := range map[string]string{
		"a query of a payment":               string(channeltest.Encode(t, payment())),
		"a query of a refund that failed":    said(t, "ABNORMAL", nil),
		"a query of a refund that succeeded": said(t, "SUCCESS", nil),
		"an answer that names an event":      said(t, "SUCCESS", func(m map[string]any) { m["event_type"] = "REFUND.SUCCESS" }),
		"a refusal":                          `{"code":"NOT_ENOUGH","message":"余额不足"}`,
		"an answer with no body":             "",
	} {
		for _, serial := range []string{p.serial(), publicID} {
			refused(t, c, name, p.sign(t, []byte(answer), noon, serial), []byte(answer), channel.ErrMalformed)
		}
	}
}

func TestMessagesThatAreNotTheChannelsAreRefused(t *testing.T) {
	t.Parallel()
	p := thePlatform()
	c := p.load(t, nil)
	body := wrap(t, "TRANSACTION.SUCCESS", channeltest.Encode(t, payment()))
	set := func(name string, values ...string) func(http.Header) { return func(h http.Header) { h[name] = values } }
	signature := p.sign(t, body, noon, p.serial()).Get("Wechatpay-Signature")
	for name, c2 := range map[string]struct {
		change func(http.Header)
		want   error
	}{
		"no timestamp":                {set("Wechatpay-Timestamp"), channel.ErrNotGenuine},
		"no nonce":                    {set("Wechatpay-Nonce"), channel.ErrNotGenuine},
		"no serial":                   {set("Wechatpay-Serial"), channel.ErrNotGenuine},
		"no signature":                {set("Wechatpay-Signature"), channel.ErrNotGenuine},
		"an empty signature":          {set("Wechatpay-Signature", ""), channel.ErrNotGenuine},
		"two signatures":              {set("Wechatpay-Signature", signature, signature), channel.ErrNotGenuine},
		"a signature in two lines":    {set("Wechatpay-Signature", signature[:100]+"\n"+signature[100:]), channel.ErrNotGenuine},
		"a signature without padding": {set("Wechatpay-Signature", strings.TrimRight(signature, "=")), channel.ErrNotGenuine},
		"a signature that is no text": {set("Wechatpay-Signature", "\x00\xff"), channel.ErrNotGenuine},
		"another scheme":              {set("Wechatpay-Signature-Type", "WECHATPAY2-SM2-WITH-SM3"), channel.ErrNotGenuine},
		"two schemes":                 {set("Wechatpay-Signature-Type", "", ""), channel.ErrNotGenuine},
		"an unknown certificate":      {set("Wechatpay-Serial", "5157F09EFDC096DF"), channel.ErrNotGenuine},
		"an unknown public key":       {set("Wechatpay-Serial", "PUB_KEY_ID_0"), channel.ErrNotGenuine},
		"the other key's serial":      {set("Wechatpay-Serial", publicID), channel.ErrNotGenuine},
		"the serial in lower case":    {set("Wechatpay-Serial", strings.ToLower(p.serial())), channel.ErrNotGenuine},
		"a serial with control bytes": {set("Wechatpay-Serial", p.serial()+"\n"), channel.ErrNotGenuine},
		"a very long nonce":           {set("Wechatpay-Nonce", strings.Repeat("a", 1<<16)), channel.ErrNotGenuine},
		"a probe":                     {set("Wechatpay-Signature", "WECHATPAY/SIGNTEST/"+signature), channel.ErrProbe},
		"a probe of an unknown serial": {func(h http.Header) {
			set("Wechatpay-Signature", "WECHATPAY/SIGNTEST/")(h)
			set("Wechatpay-Serial", "1")(h)
		}, channel.ErrProbe},
		"no header at all": {func(h http.Header) { clear(h) }, channel.ErrNotGenuine},
	} {
		header := p.sign(t, body, noon, p.serial())
		c2.change(header)
		refused(t, c, name, header, body, c2.want)
	}
	refused(t, c, "nothing", nil, nil, channel.ErrNotGenuine)
	large := append([]byte(string(body)), make([]byte, wechat.NoticeBytesMax)...)
	refused(t, c, "a large body", p.sign(t, large, noon, p.serial()), large, channel.ErrMalformed)
}

// A newline in the nonce and one in the body are signed alike.
func TestBytesOfTheBodyCannotMoveIntoTheNonce(t *testing.T) {
	t.Parallel()
	p := thePlatform()
	c := p.load(t, nil)
	other := wrap(t, "TRANSACTION.SUCCESS", channeltest.Encode(t, payment()))
	body := []byte("\n" + string(other))
	header := p.sign(t, body, noon, p.serial())
	header["Wechatpay-Nonce"] = []string{header.Get("Wechatpay-Nonce") + "\n"}
	refused(t, c, "a body without its first byte", header, other, channel.ErrNotGenuine)
}

func TestGenuineMessagesOutsideTheWindowAreStale(t *testing.T) {
	t.Parallel()
	p := thePlatform()
	c := p.load(t, nil)
	body := wrap(t, "TRANSACTION.SUCCESS", channeltest.Encode(t, payment()))
	for _, age := range []time.Duration{299 * time.Second, -299 * time.Second, 0} {
		if _, err := c.ReadNotice(p.sign(t, body, noon.Add(-age), p.serial()), body, noon); err != nil {
			t.Errorf("%s old: %v", age, err)
		}
	}
	for _, age := range []time.Duration{300 * time.Second, -300 * time.Second, 25 * time.Hour, -time.Hour} {
		refused(t, c, age.String(), p.sign(t, body, noon.Add(-age), p.serial()), body, channel.ErrStale)
	}
	for _, timestamp := range []string{"+1772452800", "-1", "1772452800.0", "0x6", "1e9", "99999999999999999999999"} {
		refused(t, c, "the time "+timestamp, p.signAs(t, body, timestamp, p.serial()), body, channel.ErrMalformed)
	}
}

func TestPlatformCertificateCountsWhileItIsValidOnly(t *testing.T) {
	t.Parallel()
	p := thePlatform()
	c := p.load(t, nil)
	body := wrap(t, "TRANSACTION.SUCCESS", channeltest.Encode(t, payment()))
	for _, at := range []time.Time{noon.AddDate(0, 7, 0), noon.AddDate(0, -7, 0)} {
		if got, err := c.ReadNotice(p.sign(t, body, at, p.serial()), body, at); !errors.Is(err, channel.ErrNotGenuine) {
			t.Errorf("at %v: %+v, %v", at, got, err)
		}
		if _, err := c.ReadNotice(p.sign(t, body, at, publicID), body, at); err != nil {
			t.Errorf("a public key, at %v: %v", at, err)
		}
	}
}

func TestGenuineMessagesThatCannotBeReadAreMalformed(t *testing.T) {
	t.Parallel()
	p := thePlatform()
	c := p.load(t, nil)
	plain := string(channeltest.Encode(t, payment()))
	good := string(wrap(t, "TRANSACTION.SUCCESS", []byte(plain)))
	resource := func(change func(map[string]any)) string {
		r := seal(t, []byte(plain), "transaction")
		change(r)
		return string(channeltest.Encode(t, envelope("TRANSACTION.SUCCESS", r)))
	}
	for name, body := range map[string]string{
		"empty": "", "null": "null", "a list": "[]", "text": `"x"`, "not closed": good[:len(good)-1], "more after it": good + "{}",
		"a comma too many":      good[:len(good)-1] + ",}",
		"a field twice":         good[:len(good)-1] + `,"id":"EV-2026030211593000001"}`,
		"a field twice, hidden": good[:len(good)-1] + `,"\u0069d":"EV-2026030211593000001"}`,
		"names in capitals":     strings.Replace(good, `"event_type"`, `"Event_Type"`, 1),
		"no id":                 strings.Replace(good, `"id"`, `"di"`, 1),
		"no time":               strings.Replace(good, `"create_time"`, `"time"`, 1),
		"no resource":           strings.Replace(good, `"resource":`, `"resources":`, 1),
		"invalid UTF-8":         strings.Replace(good, "支付", "\xff", 1),
		"nested too deep":       good[:len(good)-1] + `,"x":` + strings.Repeat("[", 100) + strings.Repeat("]", 100) + "}",
		"null resource":         string(channeltest.Encode(t, envelope("TRANSACTION.SUCCESS", nil))),
		"no nonce":              resource(func(r map[string]any) { delete(r, "nonce") }),
		"a nonce of 11 bytes":   resource(func(r map[string]any) { r["nonce"] = "01234567890" }),
		"a nonce of 13 bytes":   resource(func(r map[string]any) { r["nonce"] = "0123456789012" }),
		"another nonce":         resource(func(r map[string]any) { r["nonce"] = "012345678901" }),
		"another algorithm":     resource(func(r map[string]any) { r["algorithm"] = "AEAD_SM4_GCM" }),
		"other associated data": resource(func(r map[string]any) { r["associated_data"] = "refund" }),
		"associated number":     resource(func(r map[string]any) { r["associated_data"] = 1 }),
		"not base64":            resource(func(r map[string]any) { r["ciphertext"] = "***" }),
		"no ciphertext":         resource(func(r map[string]any) { r["ciphertext"] = "" }),
		"less than a tag":       resource(func(r map[string]any) { r["ciphertext"] = "AAAA" }),
	} {
		refused(t, c, name, p.sign(t, []byte(body), noon, p.serial()), []byte(body), channel.ErrMalformed)
	}
	for name, inner := range map[string]string{
		"a field twice": plain[:len(plain)-1] + `,"trade_state":"SUCCESS"}`, "more after it": plain + " 1", "nothing": "", "no object": "[]",
		"a field twice, deep": strings.Replace(plain, `"total":10000`, `"total":1,"total":10000`, 1),
	} {
		body := wrap(t, "TRANSACTION.SUCCESS", []byte(inner))
		refused(t, c, "content with "+name, p.sign(t, body, noon, p.serial()), body, channel.ErrMalformed)
	}
}

func TestPaymentsWithAnythingOddAreMalformed(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		path  string
		value any
	}{
		{"amount", nil},
		{"amount.total", nil},
		{"amount.total", 0},
		{"amount.total", -1},
		{"amount.total", "10000"},
		{"amount.total", json.Number("10000.0")},
		{"amount.total", json.Number("1e4")},
		{"amount.total", json.Number("-0")},
		{"amount.total", json.Number("10000000000001")},
		{"amount.total", json.Number("18446744073709551617")},
		{"amount.currency", nil},
		{"amount.currency", "USD"},
		{"amount.currency", "cny"},
		{"trade_state", nil},
		{"trade_state", "REFUND"},
		{"trade_state", "NOTPAY"},
		{"mchid", nil},
		{"mchid", 1900000109},
		{"appid", nil},
		{"out_trade_no", ""},
		{"out_trade_no", "a b"},
		{"out_trade_no", strings.Repeat("a", 65)},
		{"transaction_id", nil},
		{"transaction_id", "4200\n"},
		{"transaction_id", "４２"},
		{"success_time", nil},
		{"success_time", "20260302195930"},
		{"success_time", "1970-01-01T00:00:00Z"},
		{"success_time", "9999-12-31T23:59:59+08:00"},
	} {
		checkOddity(t, "TRANSACTION.SUCCESS", payment(), c.path, c.value, channel.ErrMalformed)
	}
	checkOddity(t, "TRANSACTION.SUCCESS", payment(), "mchid", "1900000110", channel.ErrNotOurs)
	checkOddity(t, "TRANSACTION.SUCCESS", payment(), "appid", "wxother", channel.ErrNotOurs)
}

func TestRefundNoticesWithAnythingOddAreMalformed(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		path  string
		value any
	}{
		{"amount.refund", nil},
		{"amount.refund", 0},
		{"amount.refund", json.Number("3000.5")},
		{"amount.currency", "USD"},
		{"amount.currency", nil},
		{"out_refund_no", nil},
		{"out_trade_no", nil},
		{"transaction_id", nil},
		{"refund_status", nil},
		{"refund_status", "CLOSED"},
		{"refund_status", "PROCESSING"},
		{"success_time", nil},
		{"success_time", "yesterday"},
	} {
		if c.path == "amount.currency" && c.value == nil {
			continue // refund notices have none
		}
		checkOddity(t, "REFUND.SUCCESS", refunded("SUCCESS"), c.path, c.value, channel.ErrMalformed)
	}
	checkOddity(t, "REFUND.SUCCESS", refunded("SUCCESS"), "mchid", "1900000110", channel.ErrNotOurs)
}

// checkOddity sends a notice whose content has one field changed, or without it.
func checkOddity(t *testing.T, event string, content map[string]any, path string, value any, want error) {
	t.Helper()
	p := thePlatform()
	parent, name := content, path
	if first, second, nested := strings.Cut(path, "."); nested {
		parent, name = content[first].(map[string]any), second
	}
	parent[name] = value
	if value == nil {
		delete(parent, name)
	}
	body := wrap(t, event, channeltest.Encode(t, content))
	refused(t, p.load(t, nil), event+" with "+path+" "+string(channeltest.Encode(t, value)), p.sign(t, body, noon, p.serial()), body, want)
}

func TestRepliesToProblemsNeverReadAsSuccess(t *testing.T) {
	t.Parallel()
	c := thePlatform().load(t, nil)
	for name, want := range map[error]int{
		channel.ErrNotGenuine: 401, channel.ErrProbe: 401, channel.ErrStale: 401, channel.ErrMalformed: 400, channel.ErrNotOurs: 403,
		errors.New("database: password is hunter2"): 503,
	} {
		reply := c.Reply(name, noon)
		var body struct{ Code, Message string }
		err := json.Unmarshal(reply.Body, &body)
		if reply.Status != want || reply.ContentType != "application/json" || err != nil || body.Code != "FAIL" || body.Message == "" ||
			strings.Contains(string(reply.Body), "hunter2") {
			t.Errorf("%v: %d %s %s", name, reply.Status, reply.ContentType, reply.Body)
		}
	}
	if got := c.Reply(nil, noon); got.Status != 204 || got.ContentType != "" || len(got.Body) != 0 {
		t.Errorf("without a problem: %+v", got)
	}
}
