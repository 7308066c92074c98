package unionpay_test

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"fmt"
	"maps"
	"math/big"
	mathrand "math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/settled-dev/settled/channel/channeltest"
	"github.com/settled-dev/settled/channel/unionpay"
)

const (
	merID      = "777290058110048"
	signerName = "041@8310000000083040@中国银联股份有限公司@00016495"
)

var (
	noon   = time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)
	paidAt = time.Date(2026, 3, 2, 11, 59, 30, 0, time.UTC)
)

// issued is a key with its certificate.
type issued struct {
	key         *rsa.PrivateKey
	certificate *x509.Certificate
}

// platform is UnionPay's side, and the merchant: its keys, and their certificates, which are valid for a year around noon.
type platform struct{ root, middle, signer, merchant issued }

// thePlatform is made once: RSA keys are slow to find. It is the same in every process, so that what one has signed as a fuzzing
// seed is genuine in another.
var thePlatform = sync.OnceValue(func() *platform {
	source := mathrand.NewChaCha8([32]byte{2})
	p := &platform{}
	p.root = issue(channeltest.FindKey(source), authority("CFCA ROOT", 1), nil)
	p.middle = issue(channeltest.FindKey(source), authority("CFCA OCA1", 2), &p.root)
	p.signer = issue(channeltest.FindKey(source), signing(signerName, 0x1039308534), &p.middle)
	p.merchant = issue(channeltest.FindKey(source), signing("041@Z1@MERCHANT@00000001", 68759663125), &p.middle)
	return p
})

// signing is the template of a certificate that signs messages.
func signing(name string, serial int64) *x509.Certificate {
	return &x509.Certificate{SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: name, Country: []string{"CN"}},
		NotBefore: noon.AddDate(0, -6, 0), NotAfter: noon.AddDate(0, 6, 0), KeyUsage: x509.KeyUsageDigitalSignature}
}

// authority is the template of a certificate that issues others.
func authority(name string, serial int64) *x509.Certificate {
	template := signing(name, serial)
	template.IsCA, template.BasicConstraintsValid, template.KeyUsage = true, true, x509.KeyUsageCertSign
	return template
}

// issue makes a certificate of a key; signed by itself if there is no issuer.
func issue(key *rsa.PrivateKey, template *x509.Certificate, issuer *issued) issued {
	parent := issued{key, template}
	if issuer != nil {
		parent = *issuer
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent.certificate, &key.PublicKey, parent.key)
	if err != nil {
		panic(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	return issued{key, certificate}
}

// text is the certificate as it comes in a message.
func (i issued) text() string {
	block := channeltest.PEM("CERTIFICATE", i.certificate.Raw)
	return strings.ReplaceAll(strings.TrimSuffix(string(block), "\n"), "\n", "\r\n")
}

// settingsIn writes the merchant's files to dir and returns settings that name them, changed by changes: nil removes.
func (p *platform) settingsIn(t testing.TB, dir string, changes map[string]any) []byte {
	t.Helper()
	channeltest.WritePEM(t, dir, "acp_key.pem", "PRIVATE KEY", channeltest.PKCS8(t, p.merchant.key))
	channeltest.WritePEM(t, dir, "acp_sign.pem", "CERTIFICATE", p.merchant.certificate.Raw)
	channeltest.WritePEM(t, dir, "acp_root.cer", "CERTIFICATE", p.root.certificate.Raw)
	channeltest.WritePEM(t, dir, "acp_middle.cer", "CERTIFICATE", p.middle.certificate.Raw)
	settings := map[string]any{"mer_id": merID, "merchant_certificate_file": "acp_sign.pem", "merchant_key_file": "acp_key.pem",
		"root_files": []string{"acp_root.cer"}, "middle_files": []string{"acp_middle.cer"},
		"back_trans_url":  "https://unionpay.invalid/gateway/api/backTransReq.do",
		"query_trans_url": "https://unionpay.invalid/gateway/api/queryTrans.do", "back_url": "https://shop.invalid/v1/notices/unionpay"}
	return channeltest.Settings(t, settings, changes)
}

// load makes the merchant's channel.
func (p *platform) load(t testing.TB, changes map[string]any) *unionpay.Channel {
	t.Helper()
	dir := t.TempDir()
	c, err := unionpay.Load(dir, p.settingsIn(t, dir, changes), &http.Client{Timeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// pairs are the fields of a message that are sorted and joined, but for the signature.
func pairs(content map[string]string) string {
	var joined []string
	for _, name := range slices.Sorted(maps.Keys(content)) {
		if name != "signature" {
			joined = append(joined, name+"="+content[name])
		}
	}
	return strings.Join(joined, "&")
}

// signText signs a text as UnionPay does: by the hash of its hash.
func (i issued) signText(t testing.TB, text string) string {
	t.Helper()
	inner := sha256.Sum256([]byte(text))
	outer := sha256.Sum256(fmt.Appendf(nil, "%x", inner))
	signature, err := rsa.SignPKCS1v15(nil, i.key, crypto.SHA256, outer[:])
	if err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(signature)
}

// sign returns the content with the certificate, if it has none, and the signature.
func (i issued) sign(t testing.TB, content map[string]string) map[string]string {
	t.Helper()
	signed := maps.Clone(content)
	if _, found := signed["signPubKeyCert"]; !found {
		signed["signPubKeyCert"] = i.text()
	}
	signed["signature"] = i.signText(t, pairs(signed))
	return signed
}

// notice is the body of a notice, signed by UnionPay.
func (p *platform) notice(t testing.TB, content map[string]string) []byte {
	t.Helper()
	return channeltest.Form(p.signer.sign(t, content))
}

// with is the content with one field changed; an empty value removes it.
func with(content map[string]string, name, value string) map[string]string {
	changed := maps.Clone(content)
	changed[name] = value
	if value == "" {
		delete(changed, name)
	}
	return changed
}

// payment is the content of a payment's notice, as the test gateway's.
func payment() map[string]string {
	return map[string]string{"accNo": "6226********0048", "accessType": "0", "bizType": "000201", "currencyCode": "156", "encoding": "UTF-8",
		"exchangeRate": "0", "merId": merID, "orderId": "rc0123456789abcdef0123456789abcd", "payCardType": "01", "payType": "0001",
		"queryId": "952603021959303028398", "reqReserved": "{a=1&b=2}", "respCode": "00", "respMsg": "成功[0000000]", "settleAmt": "10000",
		"settleCurrencyCode": "156", "settleDate": "0302", "signMethod": "01", "traceNo": "302839", "traceTime": "0302195930",
		"txnAmt": "10000", "txnSubType": "01", "txnTime": "20260302195930", "txnType": "01", "version": "5.1.0"}
}

// refunded is the content of a refund's notice.
func refunded(code string) map[string]string {
	content := payment()
	delete(content, "payCardType")
	maps.Copy(content, map[string]string{"txnType": "04", "txnSubType": "00", "orderId": "rf0123456789abcdef0123456789abcd",
		"queryId": "052603021959303028400", "origQryId": "952603011959303028398", "txnAmt": "3000", "settleAmt": "3000",
		"respCode": code, "respMsg": "words[" + code + "]"})
	if code != "00" && code != "A6" { // nothing will be cleared
		for _, name := range []string{"exchangeRate", "settleAmt", "settleCurrencyCode", "settleDate"} {
			delete(content, name)
		}
	}
	return content
}
