package unionpay

import (
	"bytes"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/settled-dev/settled/channel/settings"
	"github.com/settled-dev/settled/internal/clock"
)

// knownSettings are all settings that Load takes, and whether it needs them.
var knownSettings = []settings.Setting{
	{Name: "mer_id", Needed: true},                    // the merchant's number at UnionPay, 15 letters and digits
	{Name: "merchant_certificate_file", Needed: true}, // its signing certificate, PEM
	{Name: "merchant_key_file", Needed: true},         // the RSA private key of that certificate, PEM
	{Name: "root_files", Needed: true},                // files of one or more root certificates of CFCA's, PEM
	{Name: "middle_files", Needed: true},              // the same for the certificates between a root and UnionPay's
	{Name: "signer_names"},                            // third parts of common names; defaults to 中国银联股份有限公司 alone
	{Name: "allow_sha1"},                              // take certificates signed with SHA-1, as the test gateway's; defaults to false
	{Name: "back_trans_url", Needed: true},            // such as https://gateway.95516.com/gateway/api/backTransReq.do
	{Name: "query_trans_url", Needed: true},           // such as https://gateway.95516.com/gateway/api/queryTrans.do
	{Name: "back_url", Needed: true},                  // where notices of refunds go
}

// Load reads a merchant's settings, a JSON object, and the PEM files that it names, relative to dir. What it refuses is a
// *tasks.FieldError, which quotes no key. The client makes the calls; it should have a timeout.
func Load(dir string, content []byte, client *http.Client) (*Channel, error) {
	if client == nil {
		return nil, errors.New("load UnionPay: there is no HTTP client")
	}
	s := settingsReading{settings.Read(dir, content, knownSettings)}
	c := &Channel{merID: s.merID(), backTransURL: s.URL("back_trans_url", true), queryTransURL: s.URL("query_trans_url", true),
		backURL: s.URL("back_url", true), client: client, clock: clock.System}
	c.certID, c.merchantKey = s.merchant()
	c.signers = s.signers()
	if err := s.Err(); err != nil {
		return nil, fmt.Errorf("load UnionPay: %w", err)
	}
	return c, nil
}

// settingsReading reads UnionPay's settings.
type settingsReading struct{ *settings.Reading }

// merIDBytes is the length of every merchant's number.
const merIDBytes = 15

func (s settingsReading) merID() string {
	id := s.Text("mer_id", s.Value("mer_id"))
	if len(id) != merIDBytes || !isAlphanumeric(id) {
		s.Refuse("mer_id", "has another length or other characters", "a string of 15 letters and digits")
	}
	return id
}

// merchant reads our certificate's serial number, in decimal, and its key.
func (s settingsReading) merchant() (certID string, key *rsa.PrivateKey) {
	const certificateField, keyField = "merchant_certificate_file", "merchant_key_file"
	certificates := s.Certificates(certificateField, s.Value(certificateField))
	key = s.RSAKey(keyField)
	switch {
	case key == nil, len(certificates) == 0: // refused already
	case len(certificates) > 1 || !key.PublicKey.Equal(certificates[0].PublicKey):
		s.Refuse(certificateField, "names a file with more, or with the certificate of another key", "the certificate of merchant_key_file")
	default:
		return certificates[0].SerialNumber.String(), key
	}
	return "", nil
}

// signers reads who may sign for UnionPay. Each middle must have been issued by one of the roots.
func (s settingsReading) signers() signers {
	read := signers{names: s.signerNames(), allowSHA1: s.Bool("allow_sha1")}
	var roots []*x509.Certificate
	s.eachAuthority("root_files", func(_ string, root *x509.Certificate) { roots = append(roots, root) })
	s.eachAuthority("middle_files", func(field string, certificate *x509.Certificate) {
		known := len(read.middles)
		for _, root := range roots { // a root may have been renewed, with the same key
			if bytes.Equal(certificate.RawIssuer, root.RawSubject) && read.checkSignature(certificate, root) == nil {
				read.middles = append(read.middles, middle{certificate, root})
			}
		}
		if len(read.middles) == known {
			s.Refuse(field, "names a certificate that no root has issued, or with SHA-1",
				"certificates that one of root_files has issued; with SHA-1 only where allow_sha1 says so")
		}
	})
	return read
}

func (s settingsReading) signerNames() []string {
	if !s.Has("signer_names") {
		return []string{signerName}
	}
	var names []string
	for i, name := range s.List("signer_names") {
		names = append(names, s.Text(fmt.Sprintf("signer_names[%d]", i), name))
	}
	if len(names) == 0 || slices.Contains(names, "") { // the empty one would be of certificates without such a part
		s.Refuse("signer_names", "is empty, or one of its names is", "third parts of common names")
	}
	return names
}

// eachAuthority takes all certificates of a list of files.
func (s settingsReading) eachAuthority(field string, take func(field string, certificate *x509.Certificate)) {
	names := s.List(field)
	if len(names) == 0 {
		s.Refuse(field, "is empty", "a list of the names of files")
	}
	for i, name := range names {
		element := fmt.Sprintf("%s[%d]", field, i)
		for _, certificate := range s.Certificates(element, name) {
			if !issues(certificate) {
				s.Refuse(element, "names a certificate that may not issue others", "certificates of CFCA's")
				continue
			}
			take(element, certificate)
		}
	}
}
