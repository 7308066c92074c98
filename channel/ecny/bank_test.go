package ecny_test

import (
	"crypto/sha256"
	"encoding/asn1"
	"encoding/base64"
	"encoding/hex"
	"maps"
	"math/big"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emmansun/gmsm/sm2"
	"github.com/emmansun/gmsm/smx509"

	"github.com/settled-dev/settled/channel/channeltest"
	"github.com/settled-dev/settled/channel/ecny"
)

const (
	merID     = "308999170120FWX"
	userID    = "N003525987"
	appID     = "8ab74856-8772-45c9-96db-54cb30ab9f74"
	appSecret = "hunter2-5b96f20a-011f-4254-8be8"
)

var (
	noon   = time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)
	paidAt = time.Date(2026, 3, 2, 11, 59, 30, 0, time.UTC)
)

// bank is the other side: its key, the one that it is about to replace, and the merchant's.
type bank struct{ old, current, merchant *sm2.PrivateKey }

// theBank is the same in every process, so that what one has signed as a fuzzing seed is genuine in another.
var theBank = sync.OnceValue(func() *bank { return &bank{old: keyOf("old"), current: keyOf("current"), merchant: keyOf("merchant")} })

func keyOf(name string) *sm2.PrivateKey {
	raw := sha256.Sum256([]byte(name))
	raw[0] &= 0x7f // below the order of the curve
	key, err := sm2.ParseRawPrivateKey(raw[:])
	if err != nil {
		panic(err)
	}
	return key
}

func privateHex(key *sm2.PrivateKey) string {
	return hex.EncodeToString(key.D.FillBytes(make([]byte, 32)))
}

func publicDER(t testing.TB, key *sm2.PrivateKey) []byte {
	t.Helper()
	der, err := smx509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// settingsIn writes the merchant's files to dir and returns settings that name them, changed by changes: nil removes.
func (b *bank) settingsIn(t testing.TB, dir string, changes map[string]any) []byte {
	t.Helper()
	channeltest.Write(t, dir, "merchant_key.txt", []byte(privateHex(b.merchant)+"\r\n"))
	channeltest.WritePEM(t, dir, "bank_old.pem", "PUBLIC KEY", publicDER(t, b.old))
	channeltest.Write(t, dir, "bank_current.txt", []byte(base64.StdEncoding.EncodeToString(publicDER(t, b.current))+"\n"))
	settings := map[string]any{"mer_id": merID, "user_id": userID, "app_id": appID, "app_secret": appSecret,
		"merchant_key_file": "merchant_key.txt", "bank_public_keys": []string{"bank_old.pem", "bank_current.txt"}, "base_url": "https://bank.invalid"}
	return channeltest.Settings(t, settings, changes)
}

// load makes the merchant's channel.
func (b *bank) load(t testing.TB, changes map[string]any) *ecny.Channel {
	t.Helper()
	dir := t.TempDir()
	c, err := ecny.Load(dir, b.settingsIn(t, dir, changes), &http.Client{Timeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// envelope is the fields around a content.
func envelope(content []byte) map[string]string {
	return map[string]string{"biz_content": string(content), "version": "0.0.1", "encoding": "UTF-8", "signMethod": "02"}
}

// signedText is what is signed of a message's fields.
func signedText(fields map[string]string) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		if name != "sign" {
			parts = append(parts, name+"="+fields[name])
		}
	}
	return strings.Join(parts, "&")
}

// sign adds a signature in the form of DER.
func sign(t testing.TB, fields map[string]string, key *sm2.PrivateKey) map[string]string {
	t.Helper()
	der, err := key.Sign(nil, []byte(signedText(fields)), sm2.DefaultSM2SignerOpts) // the same each time
	if err != nil {
		t.Fatal(err)
	}
	fields["sign"] = base64.StdEncoding.EncodeToString(der)
	return fields
}

// pad rewrites a signature as the bank does: each number in 33 bytes.
func pad(t testing.TB, fields map[string]string) map[string]string {
	t.Helper()
	der, err := base64.StdEncoding.DecodeString(fields["sign"])
	var numbers struct{ R, S *big.Int }
	if err == nil {
		_, err = asn1.Unmarshal(der, &numbers)
	}
	if err != nil {
		t.Fatal(err)
	}
	padded := append([]byte{0x30, 70, 0x02, 33}, numbers.R.FillBytes(make([]byte, 33))...)
	padded = append(append(padded, 0x02, 33), numbers.S.FillBytes(make([]byte, 33))...)
	fields["sign"] = base64.StdEncoding.EncodeToString(padded)
	return fields
}

// notice is a signed notice of the content.
func (b *bank) notice(t testing.TB, content any) []byte {
	t.Helper()
	return channeltest.Form(pad(t, sign(t, envelope(channeltest.Encode(t, content)), b.current)))
}

// payment is the content of a payment's notice, with the documented fields that digital RMB has.
func payment() map[string]any {
	return map[string]any{"merId": merID, "orderId": "rc0123456789abcdef0123456789abcd", "cmbOrderId": "003226030219592050185300", "userId": userID,
		"txnAmt": "10000", "dscAmt": "100", "currencyCode": "156", "payType": "EC", "thirdOrderId": "EC2026030219593012345678",
		"txnTime": "20260302195800", "endDate": "20260302", "endTime": "195930", "mchReserved": "a=b&c=d", "debtorAgentId": "C1010411000013",
		"debtorAgentName": "数字人民币", "ecnyPromotionDetail": `[{"promotionId":"1","couponAmount":"1.00"}]`}
}

// refunded is the content of a refund's notice.
func refunded() map[string]any {
	return map[string]any{"merId": merID, "orderId": "rf0123456789abcdef0123456789abcd", "cmbOrderId": "003226030219592050185301",
		"refundAmt": "3000", "refundDscAmt": "0", "currencyCode": "156", "payType": "EC", "thirdOrderId": "EC2026030219593012345679",
		"txnTime": "20260302195800", "endDate": "20260302", "endTime": "195930"}
}
