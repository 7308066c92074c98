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
	"encoding/json"
	"encoding/pem"
	"maps"
	"math/big"
	mathrand "math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/settled-dev/settled/channel/alipay"
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
	p := &platform{older: findKey(source), newer: findKey(source), certified: findKey(source), app: findKey(source), stranger: findKey(source)}
	from, to := noon.AddDate(0, -6, 0), noon.AddDate(0, 6, 0)
	p.certificate = certify(p.certified, big.NewInt(81985529216486895), from, to)
	p.appCertificate = certify(p.app, big.NewInt(4660), from, to)
	p.root = certify(p.stranger, big.NewInt(7), from, to)
	return p
})

// findKey makes an RSA key of 2048 bits out of what the source gives.
func findKey(source *mathrand.ChaCha8) *rsa.PrivateKey {
	var primes []*big.Int
	phi := big.NewInt(1)
	for len(primes) < 2 {
		candidate := make([]byte, 128)
		_, _ = source.Read(candidate) // it never fails
		candidate[0] |= 0xc0          // so that the product of two has 2048 bits
		candidate[127] |= 1
		if prime := new(big.Int).SetBytes(candidate); prime.ProbablyPrime(0) {
			primes = append(primes, prime)
			phi.Mul(phi, new(big.Int).Sub(prime, big.NewInt(1)))
		}
	}
	key := &rsa.PrivateKey{PublicKey: rsa.PublicKey{N: new(big.Int).Mul(primes[0], primes[1]), E: 65537}, Primes: primes}
	if key.D = new(big.Int).ModInverse(big.NewInt(65537), phi); key.D == nil {
		return findKey(source)
	}
	key.Precompute()
	return key
}

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

func writePEM(t testing.TB, dir, name, kind string, blocks ...[]byte) {
	t.Helper()
	var content []byte
	for _, der := range blocks {
		content = append(content, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})...)
	}
	if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
		t.Fatal(err)
	}
}

func writeBare(t testing.TB, dir, name string, der []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(base64.StdEncoding.EncodeToString(der)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
}

// writeWrapped is writeBare in lines of 64 characters, as older tools do.
func writeWrapped(t testing.TB, dir, name string, der []byte) {
	t.Helper()
	var lines []string
	for line := range slices.Chunk([]byte(base64.StdEncoding.EncodeToString(der)), 64) {
		lines = append(lines, string(line))
	}
	if err := os.WriteFile(filepath.Join(dir, name), []byte(strings.Join(lines, "\r\n")), 0o600); err != nil {
		t.Fatal(err)
	}
}

func encodePublic(t testing.TB, key *rsa.PrivateKey) []byte {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func encodePrivate(t testing.TB, key any) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// settingsIn writes the merchant's files to dir and returns settings that name them, changed by changes: nil removes.
func (p *platform) settingsIn(t testing.TB, dir string, changes map[string]any) []byte {
	t.Helper()
	writeBare(t, dir, "app.txt", encodePrivate(t, p.app))
	writeBare(t, dir, "older.txt", encodePublic(t, p.older))
	writePEM(t, dir, "newer.pem", "PUBLIC KEY", encodePublic(t, p.newer))
	writePEM(t, dir, "alipay.crt", "CERTIFICATE", p.certificate)
	writePEM(t, dir, "app.crt", "CERTIFICATE", p.appCertificate, p.root)
	writePEM(t, dir, "root.crt", "CERTIFICATE", p.root, []byte("a certificate for SM2"), p.certificate)
	settings := map[string]any{"app_id": appID, "seller_id": sellerID, "app_private_key_file": "app.txt",
		"alipay_public_keys": []string{"older.txt", "newer.pem"}, "alipay_certificates": []string{"alipay.crt"}, "app_certificate": "app.crt",
		"alipay_root_certificate": "root.crt", "gateway_url": "https://alipay.invalid/gateway.do"}
	for name, value := range changes {
		settings[name] = value
		if value == nil {
			delete(settings, name)
		}
	}
	text, err := json.Marshal(settings)
	if err != nil {
		t.Fatal(err)
	}
	return text
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
	return encode(fields)
}

func encode(fields map[string]string) []byte {
	form := url.Values{}
	for name, value := range fields {
		form.Set(name, value)
	}
	return []byte(form.Encode())
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
