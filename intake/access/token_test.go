package access

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestTokenIsReadBackAndInNoOtherSpelling(t *testing.T) {
	t.Parallel()
	for range 200 {
		token := newToken()
		text := token.Reveal()
		if got, ok := parseToken(text); !ok || got != token || len(text) != tokenChars {
			t.Fatalf("%s is read as %s, %t", token, got, ok)
		}
		last := text[:len(text)-1]
		spellings := 0
		for _, c := range "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_" {
			if got, ok := parseToken(last + string(c)); ok && got == token {
				spellings++
			}
		}
		if spellings != 1 {
			t.Errorf("%d spellings of one secret", spellings)
		}
	}
}

func TestWhatIsNoTokenIsRefused(t *testing.T) {
	t.Parallel()
	good := newToken().Reveal()
	for name, text := range map[string]string{
		"empty": "", "prefix": "sk_", "short": good[:len(good)-1], "long": good + "A", "other prefix": "pk_" + good[3:],
		"capital id": "sk_ABCDEF0123456789" + good[19:], "no digit": "sk_g123456789abcdef" + good[19:], "other bar": good[:19] + "-" + good[20:],
		"padding": good[:len(good)-1] + "=", "plus": good[:21] + "+" + good[22:], "line break": good[:21] + "\n" + good[22:],
		"space": " " + good[1:], "two": good + good, "not UTF-8": good[:21] + "\xff" + good[22:],
	} {
		if token, ok := parseToken(text); ok {
			t.Errorf("%s: read as %s", name, token)
		}
	}
}

func TestAnyTextIsReadWithoutPanicAndOnlyTokensAreTokens(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringMatching(`(sk_)?[0-9a-fg]{14,17}_?[A-Za-z0-9_=-]{41,45}`).Draw(t, "text")
		if token, ok := parseToken(text); ok && token.Reveal() != text {
			t.Fatalf("%q is read as %q", text, token.Reveal())
		}
	})
}

func TestTokensDiffer(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for range 1000 {
		token := newToken()
		for _, part := range []string{token.id, string(token.secret[:])} {
			if seen[part] {
				t.Fatal("a part of a token came twice")
			}
			seen[part] = true
		}
	}
}

func TestTokenPrintsWithoutItsSecret(t *testing.T) {
	t.Parallel()
	token := newToken()
	var logged bytes.Buffer
	slog.New(slog.NewJSONHandler(&logged, nil)).Info("made", slog.Any("token", token), slog.Any("struct", struct{ T Token }{token}))
	slog.New(slog.NewTextHandler(&logged, nil)).Info("made", slog.Any("token", token))
	encoded, err := json.Marshal(map[string]any{"token": token, "pointer": &token})
	if err != nil {
		t.Fatal(err)
	}
	printed := fmt.Sprintf("%v %+v %#v %s %q %d", token, token, token, token, token, 0) + fmt.Sprint(&token, []Token{token}) +
		logged.String() + string(encoded) + fmt.Errorf("key: %v", token).Error()
	_, secret, _ := strings.Cut(token.Reveal()[len(tokenPrefix):], "_")
	for _, hidden := range []string{secret, fmt.Sprintf("%x", token.secret), fmt.Sprint(token.secret[:])} {
		if strings.Contains(printed, hidden) {
			t.Errorf("the secret is shown: %s", printed)
		}
	}
	if !strings.Contains(printed, token.id) {
		t.Errorf("the key is not named: %s", printed)
	}
}

func TestSecretIsComparedWhereThereIsNoKey(t *testing.T) {
	t.Parallel()
	token := newToken()
	hash := token.hash()
	other := newToken().hash()
	for name, c := range map[string]struct {
		key  *held
		want bool
	}{
		"its own hash":    {&held{hash: hash[:]}, true},
		"another's":       {&held{hash: other[:]}, false},
		"no key":          {nil, false},
		"no hash":         {&held{}, false},
		"a part of it":    {&held{hash: hash[:sha256.Size-1]}, false},
		"the secret raw":  {&held{hash: token.secret[:]}, false},
		"the hash zeroed": {&held{hash: make([]byte, sha256.Size)}, false},
	} {
		if got := token.proves(c.key); got != c.want {
			t.Errorf("%s: %t, want %t", name, got, c.want)
		}
	}
	// Where there is no key the comparison is with zeros: whoever found a secret with that hash would still not be let in.
	if compare(make([]byte, sha256.Size), nil) {
		t.Error("a hash of zeros proves a key that does not exist")
	}
}
