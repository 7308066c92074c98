package drill

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/settled-dev/settled/tasks"
)

// Inbox is the endpoint of a drill's producer: it takes outcome webhooks, verifies them as any producer would, and keeps what they told.
// It is served on a loopback address by the drill's own process, which nothing kills.
type Inbox struct {
	listener net.Listener
	verifier *standardwebhooks.Webhook // set by Trust, before the first message

	mu       sync.Mutex
	told     map[int64]told // by sequence
	problems []string       // what no producer should be told; not more than inboxProblemsMax
}

// inboxProblemsMax bounds what is kept of what is wrong.
const inboxProblemsMax = 100

// told is what a message says.
type told struct {
	id     string // the message's own
	event  string
	asked  asked
	result tasks.Result
}

// OpenInbox listens. Serve answers, and Close ends it.
func OpenInbox(ctx context.Context) (*Inbox, error) {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("open an inbox: %w", err)
	}
	return &Inbox{listener: listener, told: map[int64]told{}}, nil
}

// URL is where messages are to be posted.
func (i *Inbox) URL() string { return "http://" + i.listener.Addr().String() + "/" }

// Trust takes messages that are signed by the secret, as it was shown. Call it before Serve.
func (i *Inbox) Trust(secret string) (err error) {
	i.verifier, err = standardwebhooks.NewWebhook(secret)
	return err
}

// Serve takes messages until Close.
func (i *Inbox) Serve() error {
	server := &http.Server{Handler: i, ReadHeaderTimeout: callTimeout, ReadTimeout: callTimeout}
	if err := server.Serve(i.listener); !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("serve an inbox: %w", err)
	}
	return nil
}

// Close ends it.
func (i *Inbox) Close() error { return i.listener.Close() }

// ServeHTTP takes one message.
func (i *Inbox) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, answerBytesMax))
	if err != nil {
		w.WriteHeader(http.StatusBadRequest) // its process was killed: it comes again
		return
	}
	var message struct {
		Type     string `json:"type"`
		Sequence int64  `json:"sequence"`
		Data     struct {
			Kind    tasks.Kind `json:"kind"`
			Key     string     `json:"key"`
			Outcome struct {
				Result tasks.Result `json:"result"`
			} `json:"outcome"`
		} `json:"data"`
	}
	err = i.verifier.Verify(body, r.Header)
	if err == nil {
		err = json.Unmarshal(body, &message)
	}
	if err != nil {
		i.wrong("message %q is not genuine: %v", r.Header.Get("Webhook-Id"), err)
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	i.keep(message.Sequence, told{r.Header.Get("Webhook-Id"), message.Type, asked{message.Data.Kind, message.Data.Key}, message.Data.Outcome.Result})
	w.WriteHeader(http.StatusNoContent)
}

// keep notes a message; one that comes again must say the same.
func (i *Inbox) keep(sequence int64, said told) {
	i.mu.Lock()
	before, again := i.told[sequence]
	if !again {
		i.told[sequence] = said
	}
	i.mu.Unlock()
	if again && before != said {
		i.wrong("message %d told %v, and then %v", sequence, before, said)
	}
}

func (i *Inbox) wrong(format string, args ...any) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if len(i.problems) < inboxProblemsMax {
		i.problems = append(i.problems, fmt.Sprintf(format, args...))
	}
}

// judge compares what was told with the books. Each request that is to be told of was told in one message, with its own outcome; and the
// numbers have no gap up to last, the endpoint's newest.
func (i *Inbox) judge(report *ChannelsReport, last int64, due map[asked]bool, books map[asked]booked) {
	i.mu.Lock()
	defer i.mu.Unlock()
	report.Told = len(i.told)
	report.Doubled = append(report.Doubled, i.problems...)
	heard := map[asked]int64{}
	for sequence := int64(1); sequence <= last; sequence++ {
		said, came := i.told[sequence]
		if !came {
			report.lost("webhook message %d never came", sequence)
			continue
		}
		if before, twice := heard[said.asked]; twice {
			report.doubled("webhook messages %d and %d both tell of %s %s", before, sequence, said.asked.kind, said.asked.key)
		}
		heard[said.asked] = sequence
		if state := books[said.asked].state; state != string(said.result) {
			report.doubled("webhook message %d says that %s %s is %s, and it is %q", sequence, said.asked.kind, said.asked.key, said.result, state)
		}
		if !due[said.asked] {
			report.doubled("webhook message %d tells of %s %s, which is not this producer's", sequence, said.asked.kind, said.asked.key)
		}
	}
	for request := range due {
		if _, came := heard[request]; !came {
			report.lost("the producer was never told of %s %s", request.kind, request.key)
		}
	}
	for sequence := range i.told {
		if sequence < 1 || sequence > last {
			report.doubled("webhook message %d came, and the endpoint's newest is %d", sequence, last)
		}
	}
}
