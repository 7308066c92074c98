package settings

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"

	"github.com/settled-dev/settled/channel/strictjson"
)

const rsaBitsMin = 2048

// RSAKey is the private key in the PEM file that a needed setting names; nil when it was refused.
func (r *Reading) RSAKey(name string) *rsa.PrivateKey {
	block, _ := pem.Decode(r.File(name, r.Value(name)))
	if block != nil {
		parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
		if err != nil {
			parsed, err = x509.ParsePKCS1PrivateKey(block.Bytes)
		}
		if key, ok := parsed.(*rsa.PrivateKey); ok && err == nil && key.N.BitLen() >= rsaBitsMin {
			return key
		}
	}
	r.Refuse(name, "names a file without such a key", "an RSA private key of 2048 bits or more, PKCS #8 or PKCS #1, as PEM")
	return nil
}

// Certificates are all those of a named PEM file, which has one or more and nothing else. The field names the file in a refusal. What was
// read is returned even so.
func (r *Reading) Certificates(field string, v strictjson.Value) []*x509.Certificate {
	const allowed = "X.509 certificates as PEM"
	var read []*x509.Certificate
	for block, rest := pem.Decode(r.File(field, v)); block != nil; block, rest = pem.Decode(rest) {
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			r.Refuse(field, "names a file with something else", allowed)
			continue
		}
		read = append(read, certificate)
	}
	if len(read) == 0 {
		r.Refuse(field, "names a file without a certificate", allowed)
	}
	return read
}
