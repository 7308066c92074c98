package wechat

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"errors"
	"fmt"

	"github.com/settled-dev/settled/channel/strictjson"
)

const resourceAlgorithm = "AEAD_AES_256_GCM"

// newAEAD makes the cipher of an APIv3 key. Load takes keys of 32 bytes only, which is AES-256; the published example of the official
// SDK has one of 16.
func newAEAD(apiV3Key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(apiV3Key)
	if err != nil {
		return nil, fmt.Errorf("make the cipher of the APIv3 key: %w", err)
	}
	return cipher.NewGCM(block)
}

// openResource decrypts the resource of a notice. The tag is the last 16 bytes of the ciphertext.
func openResource(aead cipher.AEAD, resource strictjson.Object) ([]byte, error) {
	var r reading
	algorithm, nonce := r.text(resource, "algorithm"), r.text(resource, "nonce")
	associated, encoded := r.optionalText(resource, "associated_data"), r.text(resource, "ciphertext")
	switch {
	case r.err != nil:
		return nil, r.err
	case algorithm != resourceAlgorithm:
		return nil, errors.New("algorithm is not " + resourceAlgorithm)
	case len(nonce) != aead.NonceSize(): // Open would panic
		return nil, fmt.Errorf("nonce has %d bytes, not %d", len(nonce), aead.NonceSize())
	}
	ciphertext, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return nil, errors.New("ciphertext is not base64")
	}
	plaintext, err := aead.Open(nil, []byte(nonce), ciphertext, []byte(associated))
	if err != nil {
		return nil, errors.New("ciphertext was not made with the configured APIv3 key")
	}
	return plaintext, nil
}
