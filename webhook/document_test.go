package webhook

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// document is what producers are told.
func document(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../docs/webhooks.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestExampleOfTheDocumentIsAMessageThatVerifies(t *testing.T) {
	t.Parallel()
	text := document(t)
	example := regexp.MustCompile("(?s)```http\n(.*?)\n\n(.*?)\n```").FindStringSubmatch(text)
	secret := regexp.MustCompile(`whsec_[A-Za-z0-9+/=]{40,}`).FindString(text)
	if example == nil || secret == "" {
		t.Fatal("there is no example, or no secret")
	}
	request, err := http.ReadRequest(bufio.NewReader(strings.NewReader(strings.ReplaceAll(example[1], "\n", "\r\n") + "\r\n\r\n")))
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, request.Body)
	library, err := standardwebhooks.NewWebhook(secret)
	if err != nil {
		t.Fatal(err)
	}
	body := []byte(example[2])
	if err := library.VerifyIgnoringTimestamp(body, request.Header); err != nil {
		header := http.Header{}
		sign(header, request.Header.Get("Webhook-Id"), noon, body, Secret("settled docs example secret 0001"))
		t.Errorf("the example does not verify: %v; it would by %v", err, header)
	}
	var message Message
	if err := json.Unmarshal(body, &message); err != nil {
		t.Fatal(err)
	}
	again, err := json.Marshal(message)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(body), string(again)); diff != "" {
		t.Errorf("settled would write the example otherwise (-document +settled):\n%s", diff)
	}
	if !bytes.Contains(body, []byte(`"sequence":17`)) || !strings.HasSuffix(request.Header.Get("Webhook-Id"), "_17") {
		t.Error("the example's id and sequence are two messages'")
	}
}

func TestDocumentNamesEveryEventAndNoOther(t *testing.T) {
	t.Parallel()
	named := map[string]bool{}
	for _, found := range regexp.MustCompile("`([a-z_]+\\.[a-z_]+)`").FindAllStringSubmatch(document(t), -1) {
		named[found[1]] = true
	}
	for _, event := range Events() {
		if !named[string(event)] {
			t.Errorf("%s is not in the document", event)
		}
		delete(named, string(event))
	}
	for name := range named {
		if !strings.HasPrefix(name, "data.") {
			t.Errorf("%s is in the document and is no event", name)
		}
	}
}
