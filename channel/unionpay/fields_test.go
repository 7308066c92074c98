package unionpay_test

import (
	"math/rand/v2"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/settled-dev/settled/channel"
	"github.com/settled-dev/settled/channel/channeltest"
	"github.com/settled-dev/settled/channel/unionpay"
)

// Who pays may choose what stands in some values. In GBK, the second byte of a character can be that of a brace or a bracket.
func TestValuesWithLooseBracesAreRead(t *testing.T) {
	t.Parallel()
	p := thePlatform()
	c := p.load(t, nil)
	want, err := c.ReadNotice(nil, p.notice(t, payment()), noon)
	if err != nil {
		t.Fatal(err)
	}
	for _, value := range []string{"a{b", "a[b", "a}b]", "\x81\x5b", "\x81\x7b", "{", "{b", "]", "}{", "[]a[", "a&b", "&", "a=b", "a&", "&=", "{a}&{b",
		"a&b c=1", "a&\x81\x5b=1", "{a=1&z=2}", "[a=1&z=2]", "{a[=1&z=2}", "a{b&a=1", "a&bizType=1", "a&" + strings.Repeat("z", 65) + "=1"} {
		content := with(with(payment(), "encoding", "GBK"), "reqReserved", value)
		if got, err := c.ReadNotice(nil, p.notice(t, content), noon); err != nil || got != want {
			t.Errorf("%q: %+v, %v", value, got, err)
		}
	}
}

// Each of these texts has another reading that is as good.
func TestValuesThatCouldBeTwoFieldsAreRefused(t *testing.T) {
	t.Parallel()
	p := thePlatform()
	c := p.load(t, nil)
	for _, value := range []string{"a&z=1", "a&respB=1", "a{b&z=1}", "{a}&z=1", "{a&z=1}b", "a&b&z=1", "&z=", "[a", "[", "a&reqReserved2=1"} {
		content := with(payment(), "reqReserved", value)
		refused(t, c, value, p.notice(t, content), channel.ErrMalformed)
	}
	for name, value := range map[string]string{"accNo": "6226&accessType=0", "respMsg": "成功&respX=1", "version": "5.1.0&z=1"} {
		refused(t, c, name, channeltest.Form(p.signer.sign(t, with(payment(), name, value))), channel.ErrMalformed)
	}
}

var boundary = regexp.MustCompile(`&[a-z]+=`)

// readings are all bodies of which the text is what is signed: it is cut where a name can be, at some places or at all.
func readings(text string) (bodies []string) {
	cuts := boundary.FindAllStringIndex(text, -1)
	for chosen := range 1 << len(cuts) {
		fields, from, last, sorted := map[string]string{}, 0, "", true
		take := func(part string) {
			name, value, _ := strings.Cut(part, "=")
			sorted = sorted && name > last
			fields[name], last = value, name
		}
		for i, cut := range cuts {
			if chosen>>i&1 == 1 {
				take(text[from:cut[0]])
				from = cut[0] + 1
			}
		}
		if take(text[from:]); sorted {
			bodies = append(bodies, string(channeltest.Form(fields)))
		}
	}
	return bodies
}

func TestAnyLaterValueCanEndAnOpenPairOfItsKind(t *testing.T) {
	t.Parallel()
	var body strings.Builder
	body.WriteString("z=}")
	for i := range 10_000 {
		body.WriteString("&a" + strconv.Itoa(i) + "=%5B")
	}
	if err := unionpay.ReadForm(body.String()); err != nil {
		t.Error(err)
	}
	if err := unionpay.ReadForm(body.String() + "&zz=%5D"); err == nil {
		t.Error("a bracket that could be ended by a later one is read")
	}
}

func TestSignedTextHasOneReading(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	parts := []string{"&b=", "&c=", "&d=", "&e=", "&a=", "{", "}", "[", "]", "x", "&"}
	two, read := 0, 0
	for range 30_000 {
		text := "b="
		for range 1 + random.IntN(9) {
			text += parts[random.IntN(len(parts))]
		}
		all := readings(text)
		var taken []string
		for _, body := range all {
			if unionpay.ReadForm(body) == nil {
				taken = append(taken, body)
			}
		}
		if len(taken) > 1 {
			t.Fatalf("%s is read as %q", text, taken)
		}
		if len(all) > 1 {
			two++
			read += len(taken)
		}
	}
	if read < two/2 {
		t.Errorf("of %d texts that could be read in several ways, only %d are read", two, read)
	}
}
