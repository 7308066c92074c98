package ecny

import (
	"crypto/ecdsa"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"math/big"
	"strings"
	"testing"

	"github.com/emmansun/gmsm/sm2"
	second "github.com/go-pay/crypto/sm2"
	"pgregory.net/rapid"

	"github.com/settled-dev/settled/channel"
)

func unhex(t testing.TB, text string) []byte {
	t.Helper()
	raw, err := hex.DecodeString(strings.ReplaceAll(text, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func publicKey(t testing.TB, text string) *ecdsa.PublicKey {
	t.Helper()
	key, err := parsePublicKey([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// The example of GM/T 0003.5-2012, appendix A: a signature over "message digest" on the recommended curve.
func TestExampleOfTheStandardVerifies(t *testing.T) {
	t.Parallel()
	private, err := sm2.ParseRawPrivateKey(unhex(t, "3945208F 7B2144B1 3F36E38A C6D39F95 88939369 2860B51A 42FB81EF 4DF7C5B8"))
	if err != nil {
		t.Fatal(err)
	}
	if x := private.X.Text(16); x != strings.ToLower("9F9DF311E5421A150DD7D161E4BC5C672179FAD1833FC076BB08FF356F35020") {
		t.Errorf("its public key begins with %s", x)
	}
	digest, err := sm2.CalculateSM2Hash(&private.PublicKey, []byte("message digest"), []byte(signerID))
	if err != nil || hex.EncodeToString(digest) != strings.ToLower("F0B43E94BA45ACCAACE692ED534382EB17E6AB5A19CE7B31F4486FDFC0D28640") {
		t.Errorf("digest %x, %v", digest, err)
	}
	r := unhex(t, "F5A03B06 48D2C463 0EEAC513 E1BB81A1 5944DA38 27D5B741 43AC7EAC EEE720B3")
	s := unhex(t, "B1B6AA29 DF212FD8 763182BC 0D421CA1 BB9038FD 1F7F42D4 840B69C4 85BBC1AA")
	signature := base64.StdEncoding.EncodeToString(append(append([]byte{0x30, 70, 0x02, 33, 0}, r...), append([]byte{0x02, 33, 0}, s...)...))
	if err := (bankKeys{&private.PublicKey}).verify([]byte("message digest"), signature); err != nil {
		t.Error(err)
	}
	if err := (bankKeys{&private.PublicKey}).verify([]byte("message digesT"), signature); !errors.Is(err, channel.ErrNotGenuine) {
		t.Errorf("another message: %v", err)
	}
}

// An answer of the bank's test system, as the tests of the public client cmbsm2 have it, and the key that the bank's document prints
// (version 3.3.5, 2.4.1.3). The second number of its signature has a zero byte that DER forbids (E3).
func TestPublishedAnswerOfTheBankVerifies(t *testing.T) {
	t.Parallel()
	keys := bankKeys{publicKey(t, "MFkwEwYHKoZIzj0CAQYIKoEcz1UBgi0DQgAE6Q+fktsnY9OFP+LpSR5Udbxf5zHCFO0PmOKlFNTxDIGl8jsPbbB/"+
		"9ET23NV+acSz4FEkzD74sW2iiNVHRLiKHg==")}
	answer := envelope{"encoding": "UTF-8", "errCode": "SIGN_ERROR", "respMsg": "签名错误:RQZ7014", "returnCode": "FAIL", "signMethod": "02",
		"version": "0.0.1", "sign": "MEYCIQCEFKYniGb9HVUT+iv+Ml2Bmh9Clt+6M4TWHUeiXGpbugIhAH8/nVsactF8snc4kWQsJr+B989HRZnH/nTy0ZH+INRT"}
	if err := answer.verify(keys); err != nil {
		t.Error(err)
	}
	answer["errCode"] = "SYSTERM_ERROR"
	if err := answer.verify(keys); !errors.Is(err, channel.ErrNotGenuine) {
		t.Errorf("another answer: %v", err)
	}
}

// github.com/emmansun/gmsm/issues/560: before v0.44.1 a carry was lost on processors with BMI2, and this genuine signature was refused.
func TestSignatureThatNeedsTheLostCarryVerifies(t *testing.T) {
	t.Parallel()
	key := publicKey(t, base64.StdEncoding.EncodeToString(unhex(t, "3059301306072a8648ce3d020106082a811ccf5501822d03420004"+
		"ef4de57af00ae424c00c4caadff7193f804a19dd73a7e2954db9d0d15ab4cbba67728c3f4572878b7a674735da9fde1682fe2d9e0799c4a5cde57e3d473039a2")))
	signature := unhex(t, "3046022100BE0EA64E1EC06F0D247093F3CCBBADCFB6260224272F86DDB78326E7CD6C7560"+
		"022100E9F6AB2FCC48A2CEF94838E66B5C7E21FD8E4DE25990DD98CA5243F4966F2853")
	if !sm2.VerifyASN1(key, make([]byte, 32), signature) {
		t.Error("it is refused: is github.com/emmansun/gmsm older than v0.44.1?")
	}
}

func TestNumbersOfASignatureMayBeginWithZeros(t *testing.T) {
	t.Parallel()
	full, half := strings.Repeat("ff", 32), strings.Repeat("7f", 32)
	for name, c := range map[string]struct{ raw, want string }{ // want is empty: refused
		"the shortest form":         {"3006020101020102", "3006020101020102"},
		"zeros in front":            {"300a0203000001" + "0203000002", "3006020101020102"},
		"as the bank writes":        {"3046022100" + half + "022100" + full, "3045" + "0220" + half + "022100" + full},
		"33 bytes, short number":    {"3027022100" + "00" + half[2:] + "02020080", "3025" + "021f" + half[2:] + "02020080"},
		"empty":                     {"", ""},
		"no sequence":               {"020101020102", ""},
		"a sequence too long":       {"3007020101020102", ""},
		"more behind":               {"300602010102010200", ""},
		"more inside":               {"3009020101020102020103", ""},
		"one number":                {"3003020101", ""},
		"a number too long":         {"300602010102" + "0202", ""},
		"no content":                {"300502010102" + "00", ""},
		"zero":                      {"3006020100020102", ""},
		"negative":                  {"3006020181020102", ""},
		"33 bytes that are needed":  {"3026022101" + full + "020101", ""},
		"34 bytes":                  {"302702220000" + full + "020101", ""},
		"a length in two bytes":     {"308106020101020102", ""},
		"text instead of a number":  {"30060c0101020102", ""},
		"a length beyond the whole": {"30060201010282ffff", ""},
	} {
		der, err := decodeSignature(base64.StdEncoding.EncodeToString(unhex(t, c.raw)))
		if hex.EncodeToString(der) != c.want || (err != nil) != (c.want == "") {
			t.Errorf("%s: %x, %v, want %s", name, der, err, c.want)
		}
	}
}

func FuzzDecodeSignature(f *testing.F) {
	for _, seed := range []string{"3006020101020102", "300a02030000010203000002", "3045", "30060201008201ff", ""} {
		raw, _ := hex.DecodeString(seed)
		f.Add(base64.StdEncoding.EncodeToString(raw))
	}
	f.Add("====")
	f.Fuzz(func(t *testing.T, signature string) {
		der, err := decodeSignature(signature)
		if err != nil {
			return
		}
		again, err := decodeSignature(base64.StdEncoding.EncodeToString(der))
		if err != nil || string(again) != string(der) || len(der) > signatureBytesMax {
			t.Errorf("%q is %x, then %x, %v", signature, der, again, err)
		}
	})
}

// Another implementation of SM2, with big.Int throughout, signs and verifies the same.
func TestSecondImplementationAgrees(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(r *rapid.T) {
		raw := rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(r, "key")
		raw[0], raw[31] = raw[0]&0x7f, raw[31]|1 // between 1 and the order
		ours, err := sm2.ParseRawPrivateKey(raw)
		if err != nil {
			r.Fatal(err)
		}
		theirs, err := second.ParsePrivateKeyBytes(raw)
		if err != nil || theirs.X.Cmp(ours.X) != 0 || theirs.Y.Cmp(ours.Y) != 0 {
			r.Fatalf("another public key, %v", err)
		}
		text := rapid.SliceOfN(rapid.Byte(), 1, 300).Draw(r, "text") // nobody signs nothing

		signature, err := sign(ours, text)
		if err != nil {
			r.Fatal(err)
		}
		der, err := base64.StdEncoding.DecodeString(signature)
		if err != nil {
			r.Fatal(err)
		}
		if err := second.Verify(theirs.Public(), text, der, []byte(signerID)); err != nil {
			r.Fatalf("it refuses our signature: %v", err)
		}
		keys := bankKeys{&ours.PublicKey}
		if der, err = second.Sign(theirs, text, []byte(signerID)); err != nil {
			r.Fatal(err)
		}
		signature = base64.StdEncoding.EncodeToString(der)
		if err := keys.verify(text, signature); err != nil {
			r.Fatalf("we refuse its signature: %v", err)
		}
		if keys.verify(append(text, 0), signature) == nil {
			r.Fatal("we take its signature for another text")
		}
	})
}

func TestSignaturesDifferEachTime(t *testing.T) {
	t.Parallel()
	key, err := sm2.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for range 20 {
		signature, err := sign(key, []byte("x"))
		if err != nil {
			t.Fatal(err)
		}
		der, err := decodeSignature(signature)
		if err != nil {
			t.Fatal(err)
		}
		r, _, _ := cutNumber(der[2:])
		if seen[r.String()] || r.Cmp(big.NewInt(0)) <= 0 { // a second signature of one r gives the key away
			t.Fatal("two signatures of one random number")
		}
		seen[r.String()] = true
	}
}
