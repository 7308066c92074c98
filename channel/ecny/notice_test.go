package ecny_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/emmansun/gmsm/sm2"
	"github.com/google/go-cmp/cmp"

	"github.com/settled-dev/settled/channel"
	"github.com/settled-dev/settled/channel/channeltest"
	"github.com/settled-dev/settled/channel/ecny"
	"github.com/settled-dev/settled/money"
	"github.com/settled-dev/settled/tasks"
)

// with is a content with one field changed, or without it.
func with(content map[string]any, name string, value any) map[string]any {
	content[name] = value
	if value == nil {
		delete(content, name)
	}
	return content
}

func paid() channel.Notice {
	return channel.Notice{Channel: tasks.SourceECNY, Event: channel.EventPaid, MerchantID: merID,
		OutTradeNo: "rc0123456789abcdef0123456789abcd", ChannelTxnID: "003226030219592050185300", Amount: money.FromFen(100_00), OccurredAt: paidAt}
}

func TestPaymentIsReadFromTheNoticeThatSaysSo(t *testing.T) {
	t.Parallel()
	b := theBank()
	c := b.load(t, nil)
	for _, state := range []any{nil, "", "S"} {
		content := channeltest.Encode(t, with(payment(), "tradeState", state))
		for name, fields := range map[string]map[string]string{
			"signed by the new key":     sign(t, envelope(content), b.current),
			"signed by the old key":     sign(t, envelope(content), b.old),
			"signed as the bank writes": pad(t, sign(t, envelope(content), b.current)),
		} {
			got, err := c.ReadNotice(nil, channeltest.Form(fields), noon)
			if diff := cmp.Diff(paid(), got); diff != "" || err != nil || got.OccurredAt.Location() != time.UTC {
				t.Errorf("%s, state %v: %v (-want +got):\n%s", name, state, err, diff)
			}
		}
	}
}

func TestTimeOfTheOrderStandsInForThatOfItsEnd(t *testing.T) {
	t.Parallel()
	b := theBank()
	c := b.load(t, nil)
	for _, name := range []string{"endDate", "endTime"} {
		for _, value := range []any{nil, ""} {
			got, err := c.ReadNotice(nil, b.notice(t, with(payment(), name, value)), noon)
			if want := paidAt.Add(-90 * time.Second); err != nil || !got.OccurredAt.Equal(want) || !got.TimeUnknown {
				t.Errorf("%s %v: %v, unknown %t, %v, want %v", name, value, got.OccurredAt, got.TimeUnknown, err, want)
			}
		}
	}
}

// An answer is signed by the same key; whether it was done says its envelope, and its content may be that of a payment.
func TestAnswersAreNoNotices(t *testing.T) {
	t.Parallel()
	b := theBank()
	c := b.load(t, nil)
	for kind, content := range map[string]map[string]any{"payment": payment(), "payment that says so": with(payment(), "tradeState", "S"),
		"refund": refunded(), "payment under way": with(payment(), "tradeState", "P")} {
		for name, outer := range map[string]map[string]string{
			"a refusal":    {"returnCode": "SUCCESS", "respCode": "FAIL", "errCode": "NOT_ENOUGH", "respMsg": "余额不足"},
			"a success":    {"returnCode": "SUCCESS", "respCode": "SUCCESS"},
			"a returnCode": {"returnCode": "SUCCESS"},
			"a respCode":   {"respCode": "SUCCESS"},
			"an errCode":   {"errCode": ""},
			"a respMsg":    {"respMsg": "OK"},
		} {
			fields := envelope(channeltest.Encode(t, content))
			maps.Copy(fields, outer)
			refused(t, c, kind+", "+name, channeltest.Form(sign(t, fields, b.current)), channel.ErrMalformed)
		}
	}
}

func TestPaymentsThatDidNotHappenMoveNothing(t *testing.T) {
	t.Parallel()
	b := theBank()
	c := b.load(t, nil)
	for state, event := range map[string]channel.Event{"C": channel.EventClosed, "D": channel.EventClosed, "F": channel.EventClosed,
		"P": channel.EventOther} {
		want := paid()
		want.Event, want.Amount = event, money.Amount{}
		got, err := c.ReadNotice(nil, b.notice(t, with(payment(), "tradeState", state)), noon)
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%s: %v (-want +got):\n%s", state, err, diff)
		}
	}
}

func TestRefundNoticesSayHowTheRefundEnded(t *testing.T) {
	t.Parallel()
	b := theBank()
	c := b.load(t, nil)
	for _, s := range []struct {
		refundState, tradeState any
		want                    channel.RefundAnswer
	}{
		{nil, nil, channel.RefundAnswer{State: channel.RefundSucceeded}},
		{"S", nil, channel.RefundAnswer{State: channel.RefundSucceeded}},
		{nil, "S", channel.RefundAnswer{State: channel.RefundSucceeded}},
		{"S", "R", channel.RefundAnswer{State: channel.RefundSucceeded}},
		{"F", nil, channel.RefundAnswer{State: channel.RefundFailed, Reason: "F"}},
		{"F", "F", channel.RefundAnswer{State: channel.RefundFailed, Reason: "F"}},
		{"P", nil, channel.RefundAnswer{State: channel.RefundProcessing}},
		{nil, "R", channel.RefundAnswer{State: channel.RefundProcessing}},
	} {
		content := with(with(refunded(), "refundState", s.refundState), "tradeState", s.tradeState)
		got, err := c.ReadNotice(nil, b.notice(t, content), noon)
		want := channel.Notice{Channel: tasks.SourceECNY, Event: channel.EventRefund, MerchantID: merID, Amount: money.FromFen(30_00),
			OccurredAt: paidAt, RefundNumber: "rf0123456789abcdef0123456789abcd", Refund: s.want}
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%v %v: %v (-want +got):\n%s", s.refundState, s.tradeState, err, diff)
		}
	}
}

// A form can be written in several ways: %7B and %7b are one byte. What is signed is what it says.
func TestNoOtherByteOfTheMessageIsTaken(t *testing.T) {
	t.Parallel()
	b := theBank()
	c := b.load(t, nil)
	for _, body := range [][]byte{b.notice(t, payment()), b.notice(t, refunded())} {
		want, err := c.ReadNotice(nil, body, noon)
		if err != nil {
			t.Fatal(err)
		}
		said, err := url.ParseQuery(string(body))
		if err != nil {
			t.Fatal(err)
		}
		for i := range body {
			for _, bit := range []byte{1, 1 << (i % 8), 0x20} {
				other := bytes.Clone(body)
				other[i] ^= bit
				got, err := c.ReadNotice(nil, other, noon)
				if err == nil {
					saidThen, parseErr := url.ParseQuery(string(other))
					if parseErr != nil || !cmp.Equal(said, saidThen) || got != want {
						t.Errorf("byte %d ^ %#x is taken: %+v", i, bit, got)
					}
				} else if got != (channel.Notice{}) || !errors.Is(err, channel.ErrNotGenuine) && !errors.Is(err, channel.ErrMalformed) {
					t.Errorf("byte %d ^ %#x: %v, notice %+v", i, bit, err, got)
				}
			}
		}
		refused(t, c, "a byte less", body[:len(body)-1], channel.ErrNotGenuine)
		refused(t, c, "a field more", append(bytes.Clone(body), "&x=1"...), channel.ErrNotGenuine)
	}
}

// refused expects the error and no notice.
func refused(t *testing.T, c *ecny.Channel, what string, body []byte, want error) {
	t.Helper()
	got, err := c.ReadNotice(nil, body, noon)
	if !errors.Is(err, want) || got != (channel.Notice{}) || channeltest.Shows(err.Error(), secrets()) {
		t.Errorf("%s: %v, notice %+v, want %v", what, err, got, want)
	}
}

func TestMessagesThatAreNotTheChannelsAreRefused(t *testing.T) {
	t.Parallel()
	b := theBank()
	c := b.load(t, nil)
	content := channeltest.Encode(t, payment())
	set := func(name, value string) func(map[string]string) { return func(f map[string]string) { f[name] = value } }
	raw, err := base64.StdEncoding.DecodeString(sign(t, envelope(content), b.current)["sign"])
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(map[string]string){
		"no signature":                 func(f map[string]string) { delete(f, "sign") },
		"an empty signature":           set("sign", ""),
		"a signature in two lines":     func(f map[string]string) { f["sign"] = f["sign"][:40] + "\n" + f["sign"][40:] },
		"a signature with more behind": func(f map[string]string) { f["sign"] += "AAAA" },
		"a signature without its end":  func(f map[string]string) { f["sign"] = f["sign"][:len(f["sign"])-4] },
		"a signature that is no text":  set("sign", "\x00\xff"),
		"a signature of zeros":         set("sign", base64.StdEncoding.EncodeToString([]byte{0x30, 6, 2, 1, 0, 2, 1, 0})),
		"a raw signature":              set("sign", base64.StdEncoding.EncodeToString(raw[len(raw)-64:])),
		"a very long signature":        set("sign", strings.Repeat("A", 1<<16)),
		"RSA":                          set("signMethod", "01"),
		"no scheme":                    func(f map[string]string) { delete(f, "signMethod") },
		"another version":              set("version", "0.0.2"),
		"another field":                set("encryptKey", "x"),
		"another content":              set("biz_content", strings.Replace(string(content), `"10000"`, `"10001"`, 1)),
	} {
		fields := pad(t, sign(t, envelope(content), b.current))
		change(fields)
		refused(t, c, name, channeltest.Form(fields), channel.ErrNotGenuine)
	}
	refused(t, c, "signed by the merchant", channeltest.Form(sign(t, envelope(content), b.merchant)), channel.ErrNotGenuine)
	refused(t, c, "signed by a stranger", channeltest.Form(sign(t, envelope(content), keyOf("stranger"))), channel.ErrNotGenuine)
	refused(t, c, "nothing", nil, channel.ErrNotGenuine)
}

func TestFormsThatCannotBeCheckedAreMalformed(t *testing.T) {
	t.Parallel()
	b := theBank()
	c := b.load(t, nil)
	body := string(b.notice(t, payment()))
	for name, other := range map[string]string{
		"JSON":                `{"biz_content":"{}"}`,
		"a broken escape":     body + "%",
		"a semicolon":         body + "&a;b",
		"a field twice":       body + "&version=0.0.1",
		"a field twice, odd":  body + "&%76ersion=0.0.1",
		"a name with =":       body + "&a%3Db=1",
		"a name of Chinese":   body + "&支付=1",
		"a field with &":      body + "&a=b%26c",
		"a nameless field":    body + "&=1",
		"very many fields":    body + strings.Repeat("&a=", 1000),
		"very many bytes":     body + "&a=" + strings.Repeat("a", ecny.NoticeBytesMax),
		"the content as form": "biz_content=%7B%7D&biz_content=%7B%7D",
	} {
		refused(t, c, name, []byte(other), channel.ErrMalformed)
	}
}

// The signed text joins fields by & and =, which a payer may write into a field that the bank passes on.
func TestFieldsCannotChangePlaces(t *testing.T) {
	t.Parallel()
	b := theBank()
	c := b.load(t, nil)
	content := strings.ReplaceAll(string(channeltest.Encode(t, payment())), `\u0026`, "&") // its mchReserved is a=b&c=d
	genuine := sign(t, envelope([]byte(content)), b.current)
	if _, err := c.ReadNotice(nil, channeltest.Form(genuine), noon); err != nil {
		t.Fatal(err)
	}
	before, after, _ := strings.Cut(content, "&c=")
	for name, other := range map[string]map[string]string{
		"the content ends early": {"biz_content": before, "c": after, "encoding": "UTF-8", "signMethod": "02", "version": "0.0.1"},
		"the content ends late":  {"biz_content": content + "&encoding=UTF-8", "signMethod": "02", "version": "0.0.1"},
		"a name ends late":       {"biz_content=" + content + "&encoding": "UTF-8", "signMethod": "02", "version": "0.0.1"},
		"the scheme ends late":   {"biz_content": content, "encoding": "UTF-8", "signMethod": "02&version=0.0.1"},
	} {
		if signedText(other) != signedText(genuine) {
			t.Fatalf("%s: another text is signed: %s", name, signedText(other))
		}
		other["sign"] = genuine["sign"]
		refused(t, c, name, channeltest.Form(other), channel.ErrMalformed)
	}
}

func TestGenuineMessagesOutsideTheWindowAreStale(t *testing.T) {
	t.Parallel()
	b := theBank()
	c := b.load(t, nil)
	for name, body := range map[string][]byte{"payment": b.notice(t, payment()), "refund": b.notice(t, refunded())} {
		for age, want := range map[time.Duration]error{0: nil, 25 * time.Hour: nil, 15 * 24 * time.Hour: nil, -10 * time.Minute: nil,
			15*24*time.Hour + time.Second: channel.ErrStale, -10*time.Minute - time.Second: channel.ErrStale, 365 * 24 * time.Hour: channel.ErrStale} {
			got, err := c.ReadNotice(nil, body, paidAt.Add(age))
			if !errors.Is(err, want) || (err != nil) != (got == channel.Notice{}) {
				t.Errorf("%s, %v old: %v, want %v", name, age, err, want)
			}
		}
	}
}

func TestGenuineMessagesThatCannotBeReadAreMalformed(t *testing.T) {
	t.Parallel()
	b := theBank()
	c := b.load(t, nil)
	good := string(channeltest.Encode(t, payment()))
	for name, content := range map[string]string{
		"empty": "", "null": "null", "a list": "[]", "text": `"x"`, "not closed": good[:len(good)-1], "more after it": good + "{}",
		"a field twice":         good[:len(good)-1] + `,"txnAmt":"10000"}`,
		"a field twice, hidden": good[:len(good)-1] + `,"\u0074xnAmt":"1"}`,
		"names in capitals":     strings.Replace(good, `"txnAmt"`, `"TxnAmt"`, 1),
		"invalid UTF-8":         strings.Replace(good, "人民", "\xff", 1),
		"nested too deep":       good[:len(good)-1] + `,"x":` + strings.Repeat("[", 100) + strings.Repeat("]", 100) + "}",
	} {
		refused(t, c, name, channeltest.Form(sign(t, envelope([]byte(content)), b.current)), channel.ErrMalformed)
	}
	for name, value := range map[string]string{"version": "0.0.2", "encoding": "GBK"} {
		fields := envelope([]byte(good))
		fields[name] = value
		refused(t, c, "another "+name, channeltest.Form(sign(t, fields, b.current)), channel.ErrMalformed)
	}
	fields := envelope(nil)
	delete(fields, "biz_content")
	refused(t, c, "no content", channeltest.Form(sign(t, fields, b.current)), channel.ErrMalformed)
}

func TestNoticesWithAnythingOddAreMalformed(t *testing.T) {
	t.Parallel()
	b := theBank()
	c := b.load(t, nil)
	amounts := []any{nil, "", "0", "-1", "+1", "1.0", "1e4", "010", "１", 10000, "10000000000001", "99999999999999999999", []any{"1"}}
	ids := []any{nil, "", "a b", "a\n", "４２", strings.Repeat("a", 65), 1}
	both := map[string][]any{"merId": ids, "orderId": ids, "cmbOrderId": ids,
		"currencyCode": {nil, "840", "CNY", 156},
		"payType":      {nil, "WX", "ec", 1},
		"txnTime":      {nil, "2026-03-02", "20260302195930.5", "20260230195930", "19700101000000", "21000101000000", 20260302195930},
		"endDate":      {"2026", "20261301", 20260302, "2026-0302"},
		"endTime":      {"250000", "1959309", 195930},
		"tradeState":   {"X", "s", 1, []any{}}}
	for name, content := range map[string]func() map[string]any{"txnAmt": payment, "refundAmt": refunded} {
		for field, values := range both {
			for _, value := range values {
				refused(t, c, fmt.Sprintf("%s with %s %v", name, field, value), b.notice(t, with(content(), field, value)), channel.ErrMalformed)
			}
		}
		for _, value := range amounts {
			refused(t, c, fmt.Sprintf("%s %v", name, value), b.notice(t, with(content(), name, value)), channel.ErrMalformed)
		}
		refused(t, c, name+" of another merchant", b.notice(t, with(content(), "merId", "308999170120FWY")), channel.ErrNotOurs)
	}
	for _, state := range []any{"X", "R", "C", "s", 1} {
		if state != "R" { // of the payment: how the refund ended is not said
			refused(t, c, fmt.Sprintf("refundState %v", state), b.notice(t, with(refunded(), "refundState", state)), channel.ErrMalformed)
		}
	}
	refused(t, c, "states that differ", b.notice(t, with(with(refunded(), "refundState", "S"), "tradeState", "F")), channel.ErrMalformed)
	// It was paid: nobody knows whether the notice that said so has arrived.
	refused(t, c, "a payment that was refunded", b.notice(t, with(payment(), "tradeState", "R")), channel.ErrMalformed)
}

func TestRepliesAreSignedAndOnlyGoodOnesReadAsSuccess(t *testing.T) {
	t.Parallel()
	b := theBank()
	c := b.load(t, nil)
	for name, want := range map[error]int{
		nil: 200, channel.ErrNotGenuine: 401, channel.ErrProbe: 401, channel.ErrStale: 401, channel.ErrMalformed: 400, channel.ErrNotOurs: 403,
		errors.New("database: password is hunter2"): 503,
	} {
		reply := c.Reply(name, noon)
		var fields map[string]string
		err := json.Unmarshal(reply.Body, &fields)
		if reply.Status != want || reply.ContentType != "application/json" || err != nil || strings.Contains(string(reply.Body), "hunter2") {
			t.Fatalf("%v: %d %s %s %v", name, reply.Status, reply.ContentType, reply.Body, err)
		}
		signature, err := base64.StdEncoding.DecodeString(fields["sign"])
		if err != nil || !sm2.VerifyASN1WithSM2(&b.merchant.PublicKey, nil, []byte(signedText(fields)), signature) {
			t.Errorf("%v: the reply is not signed: %s", name, reply.Body)
		}
		code := map[bool]string{true: "SUCCESS", false: "FAIL"}[name == nil]
		if fields["returnCode"] != code || fields["respCode"] != code || (fields["respMsg"] == "") != (name == nil) ||
			fields["version"] != "0.0.1" || fields["encoding"] != "UTF-8" || fields["signMethod"] != "02" {
			t.Errorf("%v: %s", name, reply.Body)
		}
		if name != nil && bytes.Contains(bytes.ToUpper(reply.Body), []byte("SUCCESS")) {
			t.Errorf("%v reads as success: %s", name, reply.Body)
		}
	}
}
