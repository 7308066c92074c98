package alipay_test

import (
	"crypto"
	"crypto/md5"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/hex"
	"maps"
	"math/big"
	mathrand "math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/settled-dev/settled/channel/alipay"
	"github.com/settled-dev/settled/channel/channeltest"
)

const (
	appID    = "2021003194664455"
	sellerID = "2088641011272600"
)

var (
	noon   = time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC) // 20:00 in Shanghai
	paidAt = time.Date(2026, 3, 2, 11, 59, 30, 0, time.UTC)
)

// platform is Alipay's side: its keys, of which one replaces the other, its certificate, which is valid for a year around noon, and what
// the app has.
type platform struct {
	older, newer, certified, app, stranger *rsa.PrivateKey
	certificate, appCertificate, root      []byte
}

// thePlatform is made once: RSA keys are slow to find. It is the same in every process, so that what one has signed as a fuzzing
// seed is genuine in another.
var thePlatform = sync.OnceValue(func() *platform {
	source := mathrand.NewChaCha8([32]byte{2})
	p := &platform{}
	for _, key := range []**rsa.PrivateKey{&p.older, &p.newer, &p.certified, &p.app, &p.stranger} {
		*key = channeltest.FindKey(source)
	}
	from, to := noon.AddDate(0, -6, 0), noon.AddDate(0, 6, 0)
	p.certificate = certify(p.certified, big.NewInt(81985529216486895), from, to)
	p.appCertificate = certify(p.app, big.NewInt(4660), from, to)
	p.root = certify(p.stranger, big.NewInt(7), from, to)
	return p
})

// certify makes a certificate that names its issuer as Alipay's do.
func certify(key *rsa.PrivateKey, serial *big.Int, from, to time.Time) []byte {
	template := &x509.Certificate{SerialNumber: serial, NotBefore: from, NotAfter: to,
		Subject: pkix.Name{Country: []string{"CN"}, Organization: []string{"Ant Financial"}, OrganizationalUnit: []string{"Certification Authority"},
			CommonName: "Ant Financial Certification Authority Class 2 R1"}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		panic(err)
	}
	return der
}

// issuer is that of all certificates here, in the order in which Alipay hashes it.
const issuer = "CN=Ant Financial Certification Authority Class 2 R1,OU=Certification Authority,O=Ant Financial,C=CN"

func serialOf(number string) string {
	sum := md5.Sum([]byte(issuer + number))
	return hex.EncodeToString(sum[:])
}

// certificateSN is the alipay_cert_sn of the platform's certificate.
var certificateSN = serialOf("81985529216486895")

func writeBare(t testing.TB, dir, name string, der []byte) {
	t.Helper()
	channeltest.Write(t, dir, name, []byte(base64.StdEncoding.EncodeToString(der)+"\n"))
}

// writeWrapped is writeBare in lines of 64 characters, as older tools do.
func writeWrapped(t testing.TB, dir, name string, der []byte) {
	t.Helper()
	var lines []string
	for line := range slices.Chunk([]byte(base64.StdEncoding.EncodeToString(der)), 64) {
		lines = append(lines, string(line))
	}
	channeltest.Write(t, dir, name, []byte(strings.Join(lines, "\r\n")))
}

// settingsIn writes the merchant's files to dir and returns settings that name them, changed by changes: nil removes.
func (p *platform) settingsIn(t testing.TB, dir string, changes map[string]any) []byte {
	t.Helper()
	writeBare(t, dir, "app.txt", channeltest.PKCS8(t, p.app))
	writeBare(t, dir, "older.txt", channeltest.PKIX(t, &p.older.PublicKey))
	channeltest.WritePEM(t, dir, "newer.pem", "PUBLIC KEY", channeltest.PKIX(t, &p.newer.PublicKey))
	channeltest.WritePEM(t, dir, "alipay.crt", "CERTIFICATE", p.certificate)
	channeltest.WritePEM(t, dir, "app.crt", "CERTIFICATE", p.appCertificate, p.root)
	channeltest.WritePEM(t, dir, "root.crt", "CERTIFICATE", p.root, []byte("a certificate for SM2"), p.certificate)
	settings := map[string]any{"app_id": appID, "seller_id": sellerID, "app_private_key_file": "app.txt",
		"alipay_public_keys": []string{"older.txt", "newer.pem"}, "alipay_certificates": []string{"alipay.crt"}, "app_certificate": "app.crt",
		"alipay_root_certificate": "root.crt", "gateway_url": "https://alipay.invalid/gateway.do"}
	return channeltest.Settings(t, settings, changes)
}

// load makes the merchant's channel.
func (p *platform) load(t testing.TB, changes map[string]any) *alipay.Channel {
	t.Helper()
	dir := t.TempDir()
	c, err := alipay.Load(dir, p.settingsIn(t, dir, changes), &http.Client{Timeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// signature is RSA2 of a text.
func signature(t testing.TB, key *rsa.PrivateKey, text string) string {
	t.Helper()
	sum := sha256.Sum256([]byte(text))
	raw, err := rsa.SignPKCS1v15(nil, key, crypto.SHA256, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(raw)
}

// signedText is what Alipay signs of a notice.
func signedText(fields map[string]string) string {
	var text []string
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		if name != "sign" && name != "sign_type" && name != "alipay_cert_sn" {
			text = append(text, name+"="+fields[name])
		}
	}
	return strings.Join(text, "&")
}

// sign makes the body of a notice.
func sign(t testing.TB, key *rsa.PrivateKey, fields map[string]string) []byte {
	t.Helper()
	fields = maps.Clone(fields)
	fields["sign"] = signature(t, key, signedText(fields))
	return channeltest.Form(fields)
}

// with is the fields with changes: names and values in turn. The value - removes.
func with(fields map[string]string, changes ...string) map[string]string {
	fields = maps.Clone(fields)
	for pair := range slices.Chunk(changes, 2) {
		fields[pair[0]] = pair[1]
		if pair[1] == "-" {
			delete(fields, pair[0])
		}
	}
	return fields
}

// payment is a payment's notice before it is signed, with the documented fields.
func payment() map[string]string {
	return map[string]string{"notify_time": "2026-03-02 20:00:00", "notify_type": "trade_status_sync",
		"notify_id": "2026030200222195930037139002252424", "app_id": appID, "auth_app_id": appID, "charset": "UTF-8", "version": "1.0",
		"sign_type": "RSA2", "trade_no": "2026030222001435011433387454", "out_trade_no": "rc0123456789abcdef0123456789abcd",
		"buyer_id": "2088902112235014", "buyer_logon_id": "180***@189.cn", "seller_id": sellerID, "seller_email": "shop@example.com",
		"trade_status": "TRADE_SUCCESS", "total_amount": "100.00", "receipt_amount": "99.00", "invoice_amount": "99.00",
		"buyer_pay_amount": "99.00", "point_amount": "0.00", "subject": "充值 100 元", "body": "", "passback_params": "",
		"gmt_create": "2026-03-02 19:59:00", "gmt_payment": "2026-03-02 19:59:30",
		"fund_bill_list":      `[{"amount":"99.00","fundChannel":"ALIPAYACCOUNT"}]`,
		"voucher_detail_list": `[{"amount":"1.00","merchantContribute":"0.00","name":"5折券 & more","type":"ALIPAY_FIX_VOUCHER"}]`}
}

// refunded is the notice of a partial refund before it is signed.
func refunded() map[string]string {
	return with(payment(), "gmt_refund", "2026-03-02 19:59:45.287", "refund_fee", "30.00", "out_biz_no", "rf_0123-4", "receipt_amount", "-",
		"fund_bill_list", "-", "voucher_detail_list", "-", "send_back_fee", "30.00")
}

// closed is the notice of an order that nobody paid, before it is signed.
func closed() map[string]string {
	return with(payment(), "trade_status", "TRADE_CLOSED", "gmt_payment", "-", "gmt_close", "2026-03-02 19:59:50", "receipt_amount", "-",
		"fund_bill_list", "-", "voucher_detail_list", "-")
}
