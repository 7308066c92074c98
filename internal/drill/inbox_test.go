package drill

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"testing"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/settled-dev/settled/internal/clock"
	"github.com/settled-dev/settled/tasks"
)

const (
	inboxSecret = "whsec_c2V0dGxlZCBkb2NzIGV4YW1wbGUgc2VjcmV0IDAwMDE="
	otherSecret = "whsec_b3RoZXIgc2VjcmV0IG90aGVyIHNlY3JldCBvdGhlciE="
)

// sender posts messages to an inbox, signed by a secret.
type sender struct {
	*Inbox
	secret string
}

func newSender(t *testing.T) sender {
	t.Helper()
	inbox, err := OpenInbox(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := inbox.Trust(inboxSecret); err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- inbox.Serve() }()
	t.Cleanup(func() {
		if err := inbox.Close(); err != nil {
			t.Error(err)
		}
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return sender{inbox, inboxSecret}
}

func (s sender) post(t *testing.T, sequence int, key, result string) int {
	t.Helper()
	signing, err := standardwebhooks.NewWebhook(s.secret)
	if err != nil {
		t.Fatal(err)
	}
	body := fmt.Appendf(nil, `{"type":"refund.%s","sequence":%d,"data":{"kind":"refund:apply","key":%q,"outcome":{"result":%q}}}`, result,
		sequence, key, result)
	id, now := fmt.Sprint("msg_", sequence), clock.System.Now()
	signature, err := signing.Sign(id, now, body)
	if err != nil {
		t.Fatal(err)
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL(), bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header = http.Header{"Webhook-Id": {id}, "Webhook-Timestamp": {fmt.Sprint(now.Unix())}, "Webhook-Signature": {signature}}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	if err := response.Body.Close(); err != nil {
		t.Fatal(err)
	}
	return response.StatusCode
}

func TestWhatAProducerIsToldIsComparedWithTheBooks(t *testing.T) {
	t.Parallel()
	refund := func(key string) asked { return asked{tasks.RefundApply, key} }
	books := map[asked]booked{refund("a"): {state: "applied"}, refund("b"): {state: "rejected"}, refund("others"): {state: "applied"}}
	due := map[asked]bool{refund("a"): true, refund("b"): true}
	for name, c := range map[string]struct {
		tell          func(sender)
		last          int64
		lost, doubled string
	}{
		"all of it":           {func(sender) {}, 2, "", ""},
		"the same again":      {func(s sender) { s.post(t, 2, "b", "rejected") }, 2, "", ""},
		"a gap":               {func(s sender) {}, 3, "message 3 never came", ""},
		"in two messages":     {func(s sender) { s.post(t, 3, "a", "applied") }, 3, "", "messages 1 and 3 both tell of refund:apply a"},
		"a changed message":   {func(s sender) { s.post(t, 2, "b", "applied") }, 2, "", "message 2 told"},
		"somebody else's":     {func(s sender) { s.post(t, 3, "others", "applied") }, 3, "", "which is not this producer's"},
		"a number beyond":     {func(s sender) { s.post(t, 7, "a", "applied") }, 2, "", "the endpoint's newest is 2"},
		"not its outcome":     {func(s sender) { s.post(t, 3, "others", "rejected") }, 3, "", `others is rejected, and it is "applied"`},
		"a wrong signature":   {func(s sender) { s.secret = otherSecret; s.post(t, 2, "b", "rejected") }, 2, "", "msg_2\" is not genuine"},
		"and one is not told": {func(sender) { due[refund("c")] = true }, 2, "never told of refund:apply c", ""},
	} {
		s := newSender(t)
		if first, second := s.post(t, 1, "a", "applied"), s.post(t, 2, "b", "rejected"); first != http.StatusNoContent || second != first {
			t.Fatalf("%s: answered %d and %d", name, first, second)
		}
		c.tell(s)
		report := &ChannelsReport{}
		s.judge(report, c.last, due, books)
		delete(due, refund("c"))
		if report.OK() != (c.lost+c.doubled == "") || !strings.Contains(strings.Join(report.Lost, "\n"), c.lost) ||
			!strings.Contains(strings.Join(report.Doubled, "\n"), c.doubled) || report.Told < 2 {
			t.Errorf("%s: lost %q, doubled %q; want %q and %q", name, report.Lost, report.Doubled, c.lost, c.doubled)
		}
	}
}

func TestMessageThatIsNotGenuineIsRefused(t *testing.T) {
	t.Parallel()
	s := newSender(t)
	s.secret = otherSecret
	if status := s.post(t, 1, "a", "applied"); status != http.StatusBadRequest || len(s.told) != 0 {
		t.Errorf("answered %d; kept %v", status, s.told)
	}
}
