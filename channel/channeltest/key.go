package channeltest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"math/big"
	mathrand "math/rand/v2"
	"testing"
)

// FindKey makes an RSA key of 2048 bits out of what the source gives: the same in every process, so that what one has signed as a
// fuzzing seed is genuine in another.
func FindKey(source *mathrand.ChaCha8) *rsa.PrivateKey {
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
		return FindKey(source)
	}
	key.Precompute()
	return key
}

// NewElliptic makes a key on P-256, with which no channel signs.
func NewElliptic(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// PKCS8 is a private key, of those that crypto/x509 knows, in that form.
func PKCS8(t testing.TB, key any) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// PKIX is a public key, of those that crypto/x509 knows, in that form.
func PKIX(t testing.TB, key any) []byte {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// Secrets are texts, any of which in an error, a log or JSON shows the key.
func Secrets(key *rsa.PrivateKey) []string {
	end := x509.MarshalPKCS1PrivateKey(key)[600:]
	return []string{"PRIVATE KEY", key.D.String(), key.D.Text(16), key.Primes[0].String(), key.N.String(),
		base64.StdEncoding.EncodeToString(key.D.Bytes()), base64.StdEncoding.EncodeToString(end)}
}
