package simulate

import (
	"crypto/rsa"
	"crypto/x509"
	"errors"
)

// RestoreRSA reads an RSA private key in PKCS #8, as dialects keep theirs. Its errors quote nothing of what was kept.
func RestoreRSA(kept []byte) (*rsa.PrivateKey, error) {
	parsed, err := x509.ParsePKCS8PrivateKey(kept)
	if err != nil {
		return nil, errors.New("is no private key")
	}
	key, ok := parsed.(*rsa.PrivateKey)
	if !ok {
		return nil, errors.New("is no RSA key")
	}
	return key, nil
}
