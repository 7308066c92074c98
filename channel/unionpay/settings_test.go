package unionpay_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/json"
	"net/http"
	"testing"

	"github.com/settled-dev/settled/channel/channeltest"
	"github.com/settled-dev/settled/channel/unionpay"
)

// loadFrom makes the merchant's channel of settings and files that are there.
func loadFrom(t testing.TB, dir string, settings []byte) *unionpay.Channel {
	t.Helper()
	c, err := unionpay.Load(dir, settings, http.DefaultClient)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// wrongSettings are of files that settingsIn and writeOddFiles write.
var wrongSettings = []channeltest.WrongSetting{
	{"mer_id", nil, "mer_id"},
	{"mer_id", 777290058110048, "mer_id"},
	{"mer_id", "", "mer_id"},
	{"mer_id", "77729005811004", "mer_id"},
	{"mer_id", "77729005811004-", "mer_id"},
	{"merchant_certificate_file", nil, "merchant_certificate_file"},
	{"merchant_certificate_file", "empty.pem", "merchant_certificate_file"},
	{"merchant_certificate_file", "acp_root.cer", "merchant_certificate_file"}, // of another key
	{"merchant_certificate_file", "two.pem", "merchant_certificate_file"},
	{"merchant_certificate_file", "acp_key.pem", "merchant_certificate_file"},
	{"merchant_key_file", nil, "merchant_key_file"},
	{"merchant_key_file", "no.pem", "merchant_key_file"},
	{"merchant_key_file", "../outside.pem", "merchant_key_file"},
	{"merchant_key_file", "/etc/hostname", "merchant_key_file"},
	{"merchant_key_file", "", "merchant_key_file"},
	{"merchant_key_file", "acp_sign.pem", "merchant_key_file"},
	{"merchant_key_file", "elliptic.pem", "merchant_key_file"},
	{"merchant_key_file", "short.pem", "merchant_key_file"},
	{"merchant_key_file", []string{"acp_key.pem"}, "merchant_key_file"},
	{"root_files", nil, "root_files"},
	{"root_files", "acp_root.cer", "root_files"},
	{"root_files", []string{}, "root_files"},
	{"root_files", []any{1}, "root_files[0]"},
	{"root_files", []string{"acp_root.cer", "empty.pem"}, "root_files[1]"},
	{"root_files", []string{"acp_sign.pem"}, "root_files[0]"}, // not an authority
	{"root_files", []string{"acp_middle.cer"}, "middle_files[0]"},
	{"middle_files", nil, "middle_files"},
	{"middle_files", []string{"stranger.pem"}, "middle_files[0]"},
	{"middle_files", []string{"acp_middle.cer", "imposter.pem"}, "middle_files[1]"},
	{"middle_files", []string{"renamed.pem"}, "middle_files[0]"},
	{"middle_files", []string{"unconstrained.pem"}, "middle_files[0]"},
	{"middle_files", []string{"mute.pem"}, "middle_files[0]"},
	{"middle_files", []string{"critical.pem"}, "middle_files[0]"},
	{"middle_files", []string{"acp_sign.pem"}, "middle_files[0]"},
	{"signer_names", []string{}, "signer_names"},
	{"signer_names", []string{""}, "signer_names"}, // it would match any name
	{"signer_names", "中国银联股份有限公司", "signer_names"},
	{"allow_sha1", "true", "allow_sha1"},
	{"allow_sha1", json.RawMessage("null"), "allow_sha1"},
	{"back_trans_url", nil, "back_trans_url"},
	{"back_trans_url", "gateway.95516.com", "back_trans_url"},
	{"query_trans_url", "ftp://gateway.95516.com", "query_trans_url"},
	{"query_trans_url", "https://user:secret@gateway.95516.com", "query_trans_url"},
	{"back_url", nil, "back_url"},
	{"back_url", "nowhere", "back_url"},
	{"back_url", "https://shop.invalid/?x=1", "back_url"},
	{"signer_names", []any{1}, "signer_names[0]"},
	{"Mer_id", "1", `"Mer_id"`},
	{"key", "5ec4e7", `"key"`},
}

func TestSettingsThatAreWrongAreRefusedByName(t *testing.T) {
	t.Parallel()
	p := thePlatform()
	channeltest.CheckWrongSettings(t, wrongSettings, append(secrets(), "5ec4e7"), func(dir string, changes map[string]any) error {
		settings := p.settingsIn(t, dir, changes)
		writeOddFiles(t, dir)
		_, err := unionpay.Load(dir, settings, http.DefaultClient)
		return err
	})
	if _, err := unionpay.Load(t.TempDir(), p.settingsIn(t, t.TempDir(), nil), nil); err == nil {
		t.Error("there is no client, and nobody minds")
	}
}

// writeOddFiles writes what the settings may not name.
func writeOddFiles(t *testing.T, dir string) {
	t.Helper()
	p := thePlatform()
	channeltest.Write(t, dir, "empty.pem", nil)
	short, err := rsa.GenerateKey(rand.Reader, 1024) //nolint:gosec // to see that it is refused
	if err != nil {
		t.Fatal(err)
	}
	for name, key := range map[string]any{"elliptic.pem": channeltest.NewElliptic(t), "short.pem": short, "../outside.pem": p.merchant.key} {
		channeltest.WritePEM(t, dir, name, "PRIVATE KEY", channeltest.PKCS8(t, key))
	}
	channeltest.WritePEM(t, dir, "two.pem", "CERTIFICATE", p.merchant.certificate.Raw, p.signer.certificate.Raw)
	stranger := issue(p.signer.key, authority("STRANGER", 5), nil)
	channeltest.WritePEM(t, dir, "stranger.pem", "CERTIFICATE", stranger.certificate.Raw)
	fake := issue(p.signer.key, authority("CFCA ROOT", 1), nil)
	imposter := issue(p.signer.key, authority("CFCA OCA1", 2), &fake) // names our root, which has not signed it
	channeltest.WritePEM(t, dir, "imposter.pem", "CERTIFICATE", imposter.certificate.Raw)
	other := issued{p.root.key, authority("CFCA OTHER", 1)} // the key of our root, under another name
	renamed := issue(p.middle.key, authority("CFCA OCA1", 2), &other)
	channeltest.WritePEM(t, dir, "renamed.pem", "CERTIFICATE", renamed.certificate.Raw)
	for name, change := range map[string]func(*x509.Certificate){
		"unconstrained.pem": func(template *x509.Certificate) { template.IsCA, template.BasicConstraintsValid = false, false },
		"mute.pem":          func(template *x509.Certificate) { template.KeyUsage = x509.KeyUsageDigitalSignature },
		"critical.pem": func(template *x509.Certificate) {
			template.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 2, 3, 4}, Critical: true, Value: []byte{5, 0}}}
		},
	} {
		template := authority("CFCA OCA1", 2)
		change(template)
		channeltest.WritePEM(t, dir, name, "CERTIFICATE", issue(p.middle.key, template, &p.root).certificate.Raw)
	}
}

// secrets are the merchant's key as a text could show it.
func secrets() []string { return channeltest.Secrets(thePlatform().merchant.key) }

func TestKeysArePrintedByNoVerb(t *testing.T) {
	t.Parallel()
	c := thePlatform().load(t, nil)
	channeltest.CheckPrinting(t, c, merID, append(secrets(), "merchantKey"))
}

func TestKeyMayComeInTheOlderForm(t *testing.T) {
	t.Parallel()
	p := thePlatform()
	dir := t.TempDir()
	settings := p.settingsIn(t, dir, map[string]any{"merchant_key_file": "pkcs1.pem"})
	channeltest.WritePEM(t, dir, "pkcs1.pem", "RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(p.merchant.key))
	if _, err := loadFrom(t, dir, settings).ReadNotice(nil, p.notice(t, payment()), noon); err != nil {
		t.Error(err)
	}
}
