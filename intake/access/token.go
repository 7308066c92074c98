package access

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"strings"
)

// The parts of a token: sk_<16 hex digits>_<43 characters of base64url>.
const (
	tokenPrefix = "sk_"
	idBytes     = 8
	idDigits    = 2 * idBytes
	secretBytes = 32
	secretChars = 43
	tokenChars  = len(tokenPrefix) + idDigits + 1 + secretChars
)

// Token is what a producer proves itself with. It prints as the key's name only, by every verb and encoder; Reveal shows it.
type Token struct {
	id     string
	secret [secretBytes]byte
}

// newToken makes a token that nobody can guess, with a name that nobody has.
func newToken() Token {
	var t Token
	var id [idBytes]byte
	_, _ = rand.Read(id[:]) // never fails: the program ends instead
	_, _ = rand.Read(t.secret[:])
	t.id = hex.EncodeToString(id[:])
	return t
}

// parseToken reads a token. Every key has exactly one way to be written.
func parseToken(text string) (Token, bool) {
	var t Token
	rest, ok := strings.CutPrefix(text, tokenPrefix)
	if !ok || len(text) != tokenChars || rest[idDigits] != '_' {
		return t, false
	}
	t.id = rest[:idDigits]
	for i := range idDigits {
		if c := t.id[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return t, false
		}
	}
	// The last character has two bits that count for nothing: strict decoding refuses them unless they are zero.
	n, err := base64.RawURLEncoding.Strict().Decode(t.secret[:], []byte(rest[idDigits+1:]))
	return t, err == nil && n == secretBytes
}

// ID names the key. It is no secret.
func (t Token) ID() string { return t.id }

// Reveal is the token as it travels. Show it to whom it is for, once, and keep it nowhere.
func (t Token) Reveal() string {
	return tokenPrefix + t.id + "_" + base64.RawURLEncoding.EncodeToString(t.secret[:])
}

// String implements fmt.Stringer without the secret.
func (t Token) String() string { return tokenPrefix + t.id + "_(hidden)" }

// GoString implements fmt.GoStringer without the secret.
func (t Token) GoString() string { return t.String() }

// MarshalText implements encoding.TextMarshaler without the secret.
func (t Token) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

func (t Token) hash() [sha256.Size]byte { return sha256.Sum256(t.secret[:]) }
