package unionpay_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/settled-dev/settled/channel"
	"github.com/settled-dev/settled/channel/channeltest"
	"github.com/settled-dev/settled/channel/unionpay"
)

// Only a certificate that UnionPay was given by CFCA signs for it, though any certificate may come in a message.
func TestCertificatesThatProveNothingAreRefused(t *testing.T) {
	t.Parallel()
	p := thePlatform()
	c := p.load(t, nil)
	key := p.signer.key
	changed := func(change func(*x509.Certificate)) *x509.Certificate {
		template := signing(signerName, 7)
		change(template)
		return template
	}
	otherRoot := issue(key, authority("CFCA ROOT", 1), nil)
	otherMiddle := issue(key, authority("CFCA OCA1", 2), &otherRoot)
	constrained := issue(key, signing("CFCA OCA1", 2), &p.root) // not an authority
	renamed := issued{p.middle.key, authority("CFCA OCA2", 2)}  // the key of the middle, under another name
	named := func(name string) issued {
		return issue(key, changed(func(template *x509.Certificate) { template.Subject.CommonName = name }), &p.middle)
	}
	for name, signer := range map[string]issued{
		"self-signed":                        issue(key, signing(signerName, 7), nil),
		"of another chain of the same names": issue(key, signing(signerName, 7), &otherMiddle),
		"of the root itself":                 issue(key, signing(signerName, 7), &p.root),
		"of the merchant":                    issue(key, signing(signerName, 7), &p.merchant),
		"of another name than the middle's":  issue(key, signing(signerName, 7), &renamed),
		"of what is no authority":            issue(key, signing(signerName, 7), &constrained),
		"the merchant's own":                 p.merchant,
		"the middle":                         {p.middle.key, p.middle.certificate},
		"the root":                           {p.root.key, p.root.certificate},
		"to another":                         named("041@8310000000083040@中国银联有限公司@00016495"),
		"with the name in another part":      named("中国银联股份有限公司@1@2@3"),
		"with two parts":                     named("041@中国银联股份有限公司"),
		"with no part":                       named("中国银联股份有限公司"),
		"without a name":                     named(""),
		"of the old test gateway":            named("041@Z2017-11-1@00040000:SIGN@00000001"),
		"with spaces":                        named("041@1@ 中国银联股份有限公司@1"),
		"an authority":                       issue(key, authority(signerName, 7), &p.middle),
		"an authority that may sign too": issue(key, changed(func(template *x509.Certificate) {
			template.IsCA, template.BasicConstraintsValid = true, true
		}), &p.middle),
		"for encryption": issue(key, changed(func(template *x509.Certificate) {
			template.KeyUsage = x509.KeyUsageKeyEncipherment
		}), &p.middle),
		"expired":       issue(key, changed(func(template *x509.Certificate) { template.NotAfter = noon.Add(-time.Second) }), &p.middle),
		"not yet valid": issue(key, changed(func(template *x509.Certificate) { template.NotBefore = noon.Add(time.Second) }), &p.middle),
		"with a critical extension": issue(key, changed(func(template *x509.Certificate) {
			template.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 2, 3, 4}, Critical: true, Value: []byte{5, 0}}}
		}), &p.middle),
	} {
		refused(t, c, name, channeltest.Form(signer.sign(t, payment())), channel.ErrNotGenuine)
	}
	other := named("041@Z1@中国银联股份有限公司@2")
	if _, err := c.ReadNotice(nil, channeltest.Form(other.sign(t, payment())), noon); err != nil {
		t.Errorf("a new certificate of UnionPay's: %v", err)
	}
	for name, text := range map[string]string{
		"none": "", "not PEM": "x", "two": p.signer.text() + "\r\n" + p.signer.text(), "with more after it": p.signer.text() + "\r\nx",
		"a key":             "-----BEGIN PUBLIC KEY-----\r\nMA==\r\n-----END PUBLIC KEY-----",
		"of another label":  strings.ReplaceAll(p.signer.text(), " CERTIFICATE", " TRUSTED CERTIFICATE"),
		"not a certificate": "-----BEGIN CERTIFICATE-----\r\nMAA=\r\n-----END CERTIFICATE-----",
	} {
		refused(t, c, "certificate "+name, channeltest.Form(p.signer.sign(t, mapWith(payment(), "signPubKeyCert", text))), channel.ErrNotGenuine)
	}
}

// mapWith is the content with a field, even an empty one.
func mapWith(content map[string]string, name, value string) map[string]string {
	content[name] = value
	return content
}

func TestKeysOfOtherKindsAreRefused(t *testing.T) {
	t.Parallel()
	p := thePlatform()
	c := p.load(t, nil)
	elliptical, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	short, err := rsa.GenerateKey(rand.Reader, 1024) //nolint:gosec // to see that it is refused
	if err != nil {
		t.Fatal(err)
	}
	for name, kind := range map[string]struct {
		public any
		signer *rsa.PrivateKey
	}{"elliptic": {&elliptical.PublicKey, p.signer.key}, "short": {&short.PublicKey, short}} {
		der, err := x509.CreateCertificate(rand.Reader, signing(signerName, 7), p.middle.certificate, kind.public, p.middle.key)
		if err != nil {
			t.Fatal(err)
		}
		certificate, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		refused(t, c, name, channeltest.Form(issued{kind.signer, certificate}.sign(t, payment())), channel.ErrNotGenuine)
	}
}

func TestChainCountsWhileAllOfItIsValid(t *testing.T) {
	t.Parallel()
	p := thePlatform()
	lasting := func(template *x509.Certificate, years int) *x509.Certificate {
		template.NotBefore, template.NotAfter = noon.AddDate(-years, 0, 0), noon.AddDate(years, 0, 0)
		return template
	}
	for name, years := range map[string][3]int{"root": {1, 2, 2}, "middle": {2, 1, 2}, "signer": {2, 2, 1}} { // which of them ends first
		root := issue(p.root.key, lasting(authority("CFCA ROOT", 1), years[0]), nil)
		middle := issue(p.middle.key, lasting(authority("CFCA OCA1", 2), years[1]), &root)
		signer := issue(p.signer.key, lasting(signing(signerName, 7), years[2]), &middle)
		dir := t.TempDir()
		settings := p.settingsIn(t, dir, nil)
		channeltest.WritePEM(t, dir, "acp_root.cer", "CERTIFICATE", root.certificate.Raw)
		channeltest.WritePEM(t, dir, "acp_middle.cer", "CERTIFICATE", middle.certificate.Raw)
		c, body := loadFrom(t, dir, settings), channeltest.Form(signer.sign(t, payment()))
		first, last := noon.AddDate(-1, 0, 0), noon.AddDate(1, 0, 0)
		for _, now := range []time.Time{first, noon, last} { // both ends are included
			if _, err := c.ReadNotice(nil, body, now); err != nil {
				t.Errorf("%s, at %v: %v", name, now, err)
			}
		}
		for _, now := range []time.Time{first.Add(-time.Second), last.Add(time.Second)} {
			if got, err := c.ReadNotice(nil, body, now); !errors.Is(err, channel.ErrNotGenuine) {
				t.Errorf("%s, at %v: %+v, %v", name, now, got, err)
			}
		}
	}
}

func TestRenewedRootTakesTheOldOnesPlace(t *testing.T) {
	t.Parallel()
	p := thePlatform()
	old := authority("CFCA ROOT", 1)
	old.NotAfter = noon.Add(-time.Second)
	dir := t.TempDir()
	settings := p.settingsIn(t, dir, nil)
	expired := issue(p.root.key, old, nil).certificate.Raw
	for name, roots := range map[string][][]byte{"old first": {expired, p.root.certificate.Raw}, "new first": {p.root.certificate.Raw, expired}} {
		channeltest.WritePEM(t, dir, "acp_root.cer", "CERTIFICATE", roots...)
		if _, err := loadFrom(t, dir, settings).ReadNotice(nil, p.notice(t, payment()), noon); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestNamesOfSignersAndSeveralAuthoritiesAreSettings(t *testing.T) {
	t.Parallel()
	p := thePlatform()
	dir := t.TempDir()
	settings := p.settingsIn(t, dir, map[string]any{"signer_names": []string{"00040000:SIGN"}, "root_files": []string{"roots.cer"},
		"middle_files": []string{"newer.cer", "acp_middle.cer"}})
	newRoot := issue(p.merchant.key, authority("CFCA ROOT", 3), nil) // the same name, another key
	newMiddle := issue(p.merchant.key, authority("CFCA OCA1", 4), &newRoot)
	channeltest.WritePEM(t, dir, "roots.cer", "CERTIFICATE", newRoot.certificate.Raw, p.root.certificate.Raw)
	channeltest.WritePEM(t, dir, "newer.cer", "CERTIFICATE", newMiddle.certificate.Raw)
	c := loadFrom(t, dir, settings)
	for name, issuer := range map[string]issued{"old": p.middle, "new": newMiddle} {
		signer := issue(p.signer.key, signing("041@Z2017-11-1@00040000:SIGN@00000001", 7), &issuer)
		if _, err := c.ReadNotice(nil, channeltest.Form(signer.sign(t, payment())), noon); err != nil {
			t.Errorf("%s authority: %v", name, err)
		}
	}
	refused(t, c, "a name that is not in the list", p.notice(t, payment()), channel.ErrNotGenuine)
	if bytes.Equal(newMiddle.certificate.Raw, p.middle.certificate.Raw) {
		t.Error("the two authorities are one")
	}
}

func TestSHA1IsTakenWhereItIsAllowedOnly(t *testing.T) {
	t.Parallel()
	p := thePlatform()
	old := func(template *x509.Certificate) *x509.Certificate {
		template.SignatureAlgorithm = x509.SHA1WithRSA
		return template
	}
	oldMiddle := issue(p.middle.key, old(authority("CFCA OCA1", 2)), &p.root)
	for name, c := range map[string]struct {
		middle, signer issued
		allow, load    bool
	}{
		"signer":                     {p.middle, issue(p.signer.key, old(signing(signerName, 7)), &p.middle), false, true},
		"signer, allowed":            {p.middle, issue(p.signer.key, old(signing(signerName, 7)), &p.middle), true, true},
		"middle":                     {oldMiddle, p.signer, false, false},
		"middle, allowed":            {oldMiddle, p.signer, true, true},
		"neither, though allowed":    {p.middle, p.signer, true, true},
		"a self-signed one, allowed": {p.middle, issue(p.signer.key, old(signing(signerName, 7)), nil), true, true},
	} {
		dir := t.TempDir()
		settings := p.settingsIn(t, dir, map[string]any{"allow_sha1": c.allow})
		channeltest.WritePEM(t, dir, "acp_middle.cer", "CERTIFICATE", c.middle.certificate.Raw)
		loaded, err := unionpay.Load(dir, settings, http.DefaultClient)
		if (err == nil) != c.load {
			t.Errorf("%s: load: %v", name, err)
		}
		if err != nil {
			continue
		}
		want := c.allow && c.signer.certificate.Issuer.CommonName == "CFCA OCA1"
		if got, err := loaded.ReadNotice(nil, channeltest.Form(c.signer.sign(t, payment())), noon); (err == nil) != want {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}
