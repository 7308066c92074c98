package wechat_test

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/wechatpay-apiv3/wechatpay-go/core"
	"github.com/wechatpay-apiv3/wechatpay-go/core/auth/verifiers"
	"github.com/wechatpay-apiv3/wechatpay-go/core/notify"
	"github.com/wechatpay-apiv3/wechatpay-go/services/payments"
	"pgregory.net/rapid"

	"github.com/settled-dev/settled/channel"
	"github.com/settled-dev/settled/channel/channeltest"
	"github.com/settled-dev/settled/internal/clock"
)

// sdk is the vendor's own reader of notices. It has no clock, so messages for it are signed around the real time.
type sdk struct{ handler *notify.Handler }

// timeless is the platform with a certificate that is valid whenever the test runs.
func timeless() *platform {
	p := *thePlatform()
	p.certificate = selfSigned(p.certified, certain, time.Unix(0, 0), time.Date(2099, 1, 1, 0, 0, 0, 0, time.UTC))
	return &p
}

func newSDK(t *testing.T, p *platform) sdk {
	t.Helper()
	certificate, err := x509.ParseCertificate(p.certificate)
	if err != nil {
		t.Fatal(err)
	}
	handler, err := notify.NewRSANotifyHandler(apiV3Key, verifiers.NewSHA256WithRSACombinedVerifier(
		core.NewCertificateMapWithList([]*x509.Certificate{certificate}), publicID, p.public.PublicKey))
	if err != nil {
		t.Fatal(err)
	}
	return sdk{handler}
}

// read turns the SDK's panics into errors.
func (s sdk) read(t rapid.TB, header http.Header, body []byte) (transaction payments.Transaction, err error) {
	defer func() {
		if problem := recover(); problem != nil {
			err = fmt.Errorf("the SDK has panicked: %v", problem)
		}
	}()
	request, err := http.NewRequestWithContext(context.Background(), http.MethodPost, "https://wechat.invalid", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header = header
	_, err = s.handler.ParseNotifyRequest(request.Context(), request, &transaction)
	return transaction, err
}

func TestOfficialSDKAgreesOnRandomNotices(t *testing.T) {
	t.Parallel()
	p := timeless()
	c, official := p.load(t, nil), newSDK(t, p)
	rapid.Check(t, func(r *rapid.T) {
		content := payment()
		content["out_trade_no"] = rapid.StringMatching(`[A-Za-z0-9_*-]{6,32}`).Draw(r, "out_trade_no")
		content["attach"] = rapid.String().Draw(r, "attach")
		fen := rapid.Int64Range(1, 10_000_000_000_000).Draw(r, "fen")
		content["amount"].(map[string]any)["total"] = fen
		body := wrap(t, "TRANSACTION.SUCCESS", channeltest.Encode(t, content))
		serial := rapid.SampledFrom([]string{p.serial(), publicID}).Draw(r, "serial")
		now := clock.System.Now()
		age := time.Duration(rapid.Int64Range(-600, 600).Draw(r, "age")) * time.Second
		if age.Abs() > 290*time.Second && age.Abs() < 310*time.Second {
			age = 0 // the clock runs on between the two readers
		}
		header := p.sign(t, body, now.Add(-age), serial)
		tamper(r, header, body, p)

		theirs, theirErr := official.read(r, header.Clone(), slices.Clone(body))
		ours, ourErr := c.ReadNotice(header, body, now)
		if (theirErr == nil) != (ourErr == nil) {
			r.Fatalf("the SDK: %v\nwe: %v", theirErr, ourErr)
		}
		if ourErr != nil {
			return
		}
		if ours.Event != channel.EventPaid || ours.Amount.Fen() != *theirs.Amount.Total || ours.OutTradeNo != *theirs.OutTradeNo ||
			ours.ChannelTxnID != *theirs.TransactionId || ours.Amount.Fen() != fen {
			r.Fatalf("the SDK reads %v\nwe read %+v", theirs, ours)
		}
	})
}

// tamper changes a message, or leaves it, in a way of which both readers must think alike. The SDK is more lenient than we are about
// white space around headers and about the last bits of a signature, so these are left alone.
func tamper(r *rapid.T, header http.Header, body []byte, p *platform) {
	change := func(value string) string {
		i := rapid.IntRange(0, len(value)-4).Draw(r, "at")
		return value[:i] + strings.Map(func(char rune) rune {
			return map[bool]rune{true: 'B', false: 'A'}[char == 'A']
		}, value[i:i+1]) + value[i+1:]
	}
	switch rapid.SampledFrom([]string{"", "", "", "body", "Wechatpay-Nonce", "Wechatpay-Signature", "Wechatpay-Signature-Type", "serial", "gone"}).
		Draw(r, "tamper") {
	case "body":
		body[rapid.IntRange(0, len(body)-1).Draw(r, "at")] ^= 1 << rapid.IntRange(0, 7).Draw(r, "bit")
	case "Wechatpay-Nonce":
		header.Set("Wechatpay-Nonce", change(header.Get("Wechatpay-Nonce")))
	case "Wechatpay-Signature":
		header.Set("Wechatpay-Signature", change(header.Get("Wechatpay-Signature")))
	case "Wechatpay-Signature-Type":
		header.Set("Wechatpay-Signature-Type", change(header.Get("Wechatpay-Signature-Type")))
	case "serial":
		other := map[string]string{p.serial(): publicID, publicID: p.serial()}
		header.Set("Wechatpay-Serial", other[header.Get("Wechatpay-Serial")])
	case "gone":
		names := []string{"Wechatpay-Nonce", "Wechatpay-Signature", "Wechatpay-Serial", "Wechatpay-Timestamp"}
		header.Del(rapid.SampledFrom(names).Draw(r, "gone"))
	}
}

// The SDK panics where we refuse, which is why it reads no notices in the program.
func TestNoticesThatTheOfficialSDKCannotSurviveAreRefused(t *testing.T) {
	t.Parallel()
	p := timeless()
	c, official := p.load(t, nil), newSDK(t, p)
	short := seal(t, channeltest.Encode(t, payment()), "")
	short["nonce"] = "short"
	for name, body := range map[string][]byte{
		"no resource":   channeltest.Encode(t, envelope("TRANSACTION.SUCCESS", nil)),
		"a short nonce": channeltest.Encode(t, envelope("TRANSACTION.SUCCESS", short)),
	} {
		now := clock.System.Now()
		header := p.sign(t, body, now, publicID)
		if _, err := official.read(t, header.Clone(), body); err == nil || !strings.Contains(err.Error(), "panicked") {
			t.Errorf("%s: the SDK says %v: is it mended?", name, err)
		}
		if got, err := c.ReadNotice(header, body, now); !errors.Is(err, channel.ErrMalformed) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}
