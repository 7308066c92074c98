package settings_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"math/big"
	mathrand "math/rand/v2"
	"testing"

	"github.com/settled-dev/settled/channel/channeltest"
	"github.com/settled-dev/settled/channel/settings"
	"github.com/settled-dev/settled/tasks"
)

// certify makes a certificate of a key by itself.
func certify(t *testing.T, key *rsa.PrivateKey) []byte {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(1)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func TestKeysAndCertificatesAreReadFromPEM(t *testing.T) {
	t.Parallel()
	key := channeltest.FindKey(mathrand.NewChaCha8([32]byte{3}))
	short, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	dir, certificate := t.TempDir(), certify(t, key)
	channeltest.WritePEM(t, dir, "pkcs8", "PRIVATE KEY", channeltest.PKCS8(t, key))
	channeltest.WritePEM(t, dir, "pkcs1", "RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(key))
	channeltest.WritePEM(t, dir, "short", "PRIVATE KEY", channeltest.PKCS8(t, short))
	channeltest.WritePEM(t, dir, "elliptic", "PRIVATE KEY", channeltest.PKCS8(t, channeltest.NewElliptic(t)))
	channeltest.WritePEM(t, dir, "one", "CERTIFICATE", certificate)
	channeltest.WritePEM(t, dir, "two", "CERTIFICATE", certificate, certificate)
	channeltest.WritePEM(t, dir, "mixed", "CERTIFICATE", certificate, channeltest.PKCS8(t, key))
	channeltest.Write(t, dir, "empty", nil)
	for file, want := range map[string]struct {
		isKey        bool
		certificates int // -1: they are refused
	}{
		"pkcs8": {true, -1}, "pkcs1": {true, -1}, "short": {false, -1}, "elliptic": {false, -1}, "empty": {false, -1}, "none": {false, -1},
		"one": {false, 1}, "two": {false, 2}, "mixed": {false, -1},
	} {
		content := channeltest.Encode(t, map[string]string{"file": file})
		known := []settings.Setting{{Name: "file", Needed: true}}
		var bad *tasks.FieldError
		r := settings.Read(dir, content, known)
		read := r.RSAKey("file")
		switch err := r.Err(); {
		case want.isKey:
			if err != nil || !key.Equal(read) {
				t.Errorf("%s as a key: %v", file, err)
			}
		case read != nil, !errors.As(err, &bad), bad.Field != "file", channeltest.Shows(err.Error(), channeltest.Secrets(key)):
			t.Errorf("%s as a key: %v", file, err)
		}
		r = settings.Read(dir, content, known)
		got := r.Certificates("file", r.Value("file"))
		if refused := r.Err() != nil; refused != (want.certificates < 0) || !refused && len(got) != want.certificates {
			t.Errorf("%s as certificates: %d, %v", file, len(got), r.Err())
		}
	}
}
