package wechat_test

import (
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"fmt"
	"math/big"
	mathrand "math/rand/v2"
	"net/http"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/settled-dev/settled/channel/channeltest"
	"github.com/settled-dev/settled/channel/wechat"
)

const (
	mchID    = "1900000109"
	appID    = "wxd678efh567hg6787"
	apiV3Key = "0123456789abcdef0123456789ABCDEF"
	publicID = "PUB_KEY_ID_0119000001092026010100000001"
)

var (
	noon    = time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)
	paidAt  = time.Date(2026, 3, 2, 11, 59, 30, 0, time.UTC)
	certain = big.NewInt(0x5157F09EFDC096DE) // a serial number of an even number of digits
)

// platform is WeChat Pay's side: its keys, and its certificate, which is valid for a year around noon.
type platform struct {
	certified, public, merchant *rsa.PrivateKey
	certificate                 []byte
}

// serial is the certificate's.
func (p *platform) serial() string { return fmt.Sprintf("%X", certain) }

// thePlatform is made once: RSA keys are slow to find. It is the same in every process, so that what one has signed as a fuzzing
// seed is genuine in another.
var thePlatform = sync.OnceValue(func() *platform {
	source := mathrand.NewChaCha8([32]byte{1})
	p := &platform{certified: channeltest.FindKey(source), public: channeltest.FindKey(source), merchant: channeltest.FindKey(source)}
	p.certificate = selfSigned(p.certified, certain, noon.AddDate(0, -6, 0), noon.AddDate(0, 6, 0))
	return p
})

func selfSigned(key *rsa.PrivateKey, serial *big.Int, from, to time.Time) []byte {
	template := &x509.Certificate{SerialNumber: serial, Subject: pkix.Name{CommonName: "Tenpay.com sign"},
		NotBefore: from, NotAfter: to}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		panic(err)
	}
	return der
}

// settingsIn writes the merchant's files to dir and returns settings that name them, changed by changes: nil removes.
func (p *platform) settingsIn(t testing.TB, dir string, changes map[string]any) []byte {
	t.Helper()
	channeltest.WritePEM(t, dir, "apiclient_key.pem", "PRIVATE KEY", channeltest.PKCS8(t, p.merchant))
	channeltest.WritePEM(t, dir, "pub_key.pem", "PUBLIC KEY", channeltest.PKIX(t, &p.public.PublicKey))
	channeltest.WritePEM(t, dir, "wechatpay_cert.pem", "CERTIFICATE", p.certificate)
	settings := map[string]any{"mch_id": mchID, "app_id": appID, "merchant_serial": "7777", "merchant_key_file": "apiclient_key.pem",
		"api_v3_key": apiV3Key, "platform_certificates": []string{"wechatpay_cert.pem"},
		"public_keys": []map[string]string{{"id": publicID, "file": "pub_key.pem"}}, "base_url": "https://wechat.invalid"}
	return channeltest.Settings(t, settings, changes)
}

// load makes the merchant's channel.
func (p *platform) load(t testing.TB, changes map[string]any) *wechat.Channel {
	t.Helper()
	dir := t.TempDir()
	c, err := wechat.Load(dir, p.settingsIn(t, dir, changes), &http.Client{Timeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// sign makes the headers of a message, by the key of the serial.
func (p *platform) sign(t testing.TB, body []byte, at time.Time, serial string) http.Header {
	t.Helper()
	return p.signAs(t, body, strconv.FormatInt(at.Unix(), 10), serial)
}

// signAs is sign with a timestamp of any form.
func (p *platform) signAs(t testing.TB, body []byte, timestamp, serial string) http.Header {
	t.Helper()
	key, nonce := p.certified, "EcZ9Cmy4Xyx1i6RlJQzLcCyEqDa26NBz"
	if serial == publicID {
		key = p.public
	}
	sum := sha256.Sum256([]byte(timestamp + "\n" + nonce + "\n" + string(body) + "\n"))
	signature, err := rsa.SignPKCS1v15(nil, key, crypto.SHA256, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	return http.Header{"Content-Type": {"application/json"}, "Wechatpay-Serial": {serial}, "Wechatpay-Timestamp": {timestamp},
		"Wechatpay-Nonce": {nonce}, "Wechatpay-Signature": {base64.StdEncoding.EncodeToString(signature)},
		"Wechatpay-Signature-Type": {"WECHATPAY2-SHA256-RSA2048"}}
}

// seal encrypts with the APIv3 key.
func seal(t testing.TB, plaintext []byte, associated string) map[string]any {
	t.Helper()
	block, err := aes.NewCipher([]byte(apiV3Key))
	if err != nil {
		t.Fatal(err)
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		t.Fatal(err)
	}
	nonce := fmt.Sprintf("%x", sha256.Sum256(plaintext))[:gcm.NonceSize()] // of the content, so that every process makes the same
	sealed := gcm.Seal(nil, []byte(nonce), plaintext, []byte(associated))
	return map[string]any{"algorithm": "AEAD_AES_256_GCM", "original_type": "transaction", "nonce": nonce,
		"associated_data": associated, "ciphertext": base64.StdEncoding.EncodeToString(sealed)}
}

// wrap is the body of a notice.
func wrap(t testing.TB, event string, plaintext []byte) []byte {
	t.Helper()
	return channeltest.Encode(t, envelope(event, seal(t, plaintext, "transaction")))
}

func envelope(event string, resource any) map[string]any {
	return map[string]any{"id": "EV-2026030211593000001", "create_time": "2026-03-02T20:00:00+08:00", "event_type": event,
		"resource_type": "encrypt-resource", "summary": "支付成功", "resource": resource}
}

// payment is the plaintext of a payment's notice, with every documented field.
func payment() map[string]any {
	return map[string]any{"mchid": mchID, "appid": appID, "out_trade_no": "rc0123456789abcdef0123456789abcd",
		"transaction_id": "4200001234202603021234567890", "trade_type": "JSAPI", "trade_state": "SUCCESS", "trade_state_desc": "支付成功",
		"bank_type": "CMC", "attach": "", "success_time": "2026-03-02T19:59:30+08:00", "payer": map[string]any{"openid": "o4GgauInH_RCEdvrrNGrnxxxxxxx"},
		"amount": map[string]any{"total": 10000, "payer_total": 9900, "currency": "CNY", "payer_currency": "CNY"},
		"promotion_detail": []any{map[string]any{"amount": 100, "coupon_id": "109519", "scope": "GLOBAL",
			"goods_detail": []any{map[string]any{"quantity": 1, "goods_id": "M1006"}}}}}
}

// refunded is the plaintext of a refund's notice.
func refunded(status string) map[string]any {
	content := map[string]any{"mchid": mchID, "out_trade_no": "o1", "transaction_id": "4200001234202603021234567890",
		"out_refund_no": "rf_0123-4", "refund_id": "50200207182018070300011301001", "refund_status": status,
		"user_received_account": "招商银行信用卡0403", "amount": map[string]any{"total": 10000, "refund": 3000, "payer_total": 10000, "payer_refund": 3000}}
	if status == "SUCCESS" {
		content["success_time"] = "2026-03-02T19:59:30+08:00"
	}
	return content
}
