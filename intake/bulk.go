package intake

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/settled-dev/settled/intake/access"
	"github.com/settled-dev/settled/internal/clock"
	"github.com/settled-dev/settled/tasks"
)

// The media types of many requests in one call.
const (
	mediaJSON      = "application/json"
	mediaJSONLines = "application/x-ndjson"
)

// The limits of a list.
const (
	// ListMax is how many requests a list holds at most: what is read before the first of them is accepted.
	ListMax = 10_000
	// ListBytesMax bounds a list's body: 1,677 bytes a request, which are a refund with the longest ids and reason and ten lines.
	ListBytesMax = 16 << 20
	// listTimeout is what a client has to send a list, and later to read its answer.
	listTimeout = time.Minute
)

// ListAnswer is the answer to a list: one for each of its requests, in their order.
type ListAnswer struct {
	Tally
	Items []ItemAnswer `json:"items"`
}

// bulk is one call that asks for many requests of a kind.
type bulk struct {
	api    *API
	kind   tasks.Kind
	call   huma.Context
	who    access.Principal
	client *tasks.Client
	// connection sets the deadlines of this call: those of the server are meant for one request.
	connection *http.ResponseController
}

func (a *API) registerBulk(routes huma.API) {
	registry := routes.OpenAPI().Components.Schemas
	for _, kind := range tasks.Kinds() {
		if kind.Internal() {
			continue
		}
		responses := problemResponses(registry, "400", "413", "415", "422", "503")
		responses["200"] = &huma.Response{Description: "Each request's own answer, in their order", Content: map[string]*huma.MediaType{
			mediaJSON:      {Schema: schemaOf(registry, reflect.TypeFor[ListAnswer]())},
			mediaJSONLines: {Schema: schemaOf(registry, reflect.TypeFor[ItemAnswer]())},
		}}
		path := "/v1/requests/" + string(kind) + "/bulk"
		huma.Register(routes, huma.Operation{
			OperationID: "accept-many-" + strings.ReplaceAll(string(kind), ":", "-"), Method: http.MethodPost, Path: path,
			Tags: []string{"requests"}, Summary: "Accept many " + string(kind),
			Description: fmt.Sprintf("A list of up to %d requests and %d bytes (%s) is answered as a whole, once all of it is committed. "+
				"A stream of lines, up to %d bytes (%s), is answered line by line as its chunks commit: read while you "+
				"write. A refused request does not stop the others. Each request counts against the key's rate; a stream is slowed "+
				"down to it.", ListMax, ListBytesMax, mediaJSON, streamBytesMax, mediaJSONLines),
			Responses: responses, Security: needs(access.ScopeOf(kind)),
		}, func(context.Context, *struct{}) (*huma.StreamResponse, error) {
			return &huma.StreamResponse{Body: func(call huma.Context) { a.acceptMany(call, kind) }}, nil
		})
		one := payloadSchema(registry, kind)
		least, most := 1, ListMax
		routes.OpenAPI().Paths[path].Post.RequestBody = &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{
			mediaJSON:      {Schema: &huma.Schema{Type: huma.TypeArray, Items: one, MinItems: &least, MaxItems: &most}},
			mediaJSONLines: {Schema: one},
		}}
	}
	huma.Register(routes, huma.Operation{OperationID: "accept-many-unknown", Method: http.MethodPost, Path: "/v1/requests/{kind}/bulk",
		Hidden: true, Responses: problemResponses(registry, "422"), Security: needs()}, a.unknownKind)
}

func (a *API) acceptMany(call huma.Context, kind tasks.Kind) {
	_, w := humago.Unwrap(call)
	b := &bulk{api: a, kind: kind, call: call, who: access.PrincipalOf(call.Context()), connection: http.NewResponseController(w)}
	var err error
	if b.client, err = a.config.Client.As(b.who.Producer); err != nil {
		writeProblem(call, a.failure(call.Context(), fmt.Errorf("ask for the key's producer: %v", err), "nothing was done"))
		return
	}
	mediaType, _, err := mime.ParseMediaType(call.Header("Content-Type"))
	switch {
	case isEncoded(call.Header("Content-Encoding")):
		writeProblem(call, encoded())
	case err == nil && mediaType == mediaJSONLines:
		b.acceptStream()
	case err == nil && mediaType == mediaJSON:
		if problem := b.acceptList(); problem != nil {
			writeProblem(call, problem)
		}
	default:
		writeProblem(call, undeclared(mediaJSON+" or "+mediaJSONLines))
	}
}

// accept accepts a chunk, and counts and completes its answers.
func (b *bulk) accept(ctx context.Context, chunk *Chunk) error {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	asked := len(chunk.payloads)
	chunk.RefuseAhead(b.api.config.Clock.Now())
	if err := chunk.Accept(ctx, b.client, b.who.Owns); err != nil {
		b.api.metrics.counted(string(b.kind), statusUnknown, asked)
		return err
	}
	for i := range chunk.Answers {
		b.api.metrics.counted(string(b.kind), chunk.Answers[i].Status, 1)
	}
	return nil
}

// problem answers for any error of a bulk. unknown says what is not known now.
func (b *bulk) problem(err error, unknown string) *Problem {
	if bad := (*bodyError)(nil); errors.As(err, &bad) {
		return bad.problem
	}
	if problem := fieldProblem(err); problem != nil {
		return problem
	}
	if problem := accessProblem(err); problem != nil {
		return problem
	}
	return b.api.failure(b.call.Context(), err, unknown)
}

// acceptList reads a list, and accepts it in its turn.
func (b *bulk) acceptList() *Problem {
	leave, problem := b.api.lists.enter(b.call.Context(), b.api.config.Clock, b.who.KeyID)
	asked, _ := humago.Unwrap(b.call)
	_ = b.connection.SetReadDeadline(clock.System.Now().Add(listTimeout)) // a connection without deadlines has no slow clients
	if problem != nil {
		dropBody(asked)
		return problem
	}
	defer leave()
	const nothing = "nothing was done: ask again"
	text, problem := readJSON(asked, ListBytesMax)
	if problem != nil {
		if problem.Status == http.StatusRequestEntityTooLarge {
			problem.Detail += fmt.Sprintf("; a stream (%s) may have %d bytes", mediaJSONLines, streamBytesMax)
		}
		return problem
	}
	list, err := splitList(text)
	if err != nil {
		return b.problem(err, nothing)
	}
	var answer listText
	if problem := b.acceptInTurn(list, &answer); problem != nil {
		return problem
	}
	head, err := answer.head()
	if err != nil {
		return b.problem(err, "the requests were accepted")
	}
	_ = b.connection.SetWriteDeadline(clock.System.Now().Add(listTimeout))
	b.call.SetHeader("Content-Type", mediaJSON)
	b.call.SetHeader("Content-Length", strconv.Itoa(len(head)+len(answer.items)+len(listEnd)))
	b.call.SetStatus(http.StatusOK)
	for _, part := range [][]byte{head, answer.items, []byte(listEnd)} {
		_, _ = b.call.BodyWriter().Write(part) // the caller may have left
	}
	return nil
}

// listText is a ListAnswer as it is sent: of each chunk only the text is kept, which for conflicts is less than half of what it tells.
type listText struct {
	tally Tally
	items []byte // each after a comma, but the first
}

const listEnd = "]}"

// add adds a chunk's answers.
func (l *listText) add(answers []ItemAnswer) error {
	l.tally.Add(answers)
	for i := range answers {
		text, err := json.Marshal(&answers[i])
		if err != nil {
			return fmt.Errorf("encode an answer: %w", err)
		}
		if len(l.items) > 0 {
			l.items = append(l.items, ',')
		}
		l.items = append(l.items, text...)
	}
	return nil
}

// head is the text before items; listEnd is what comes after them.
func (l *listText) head() ([]byte, error) {
	head, err := json.Marshal(&l.tally)
	if err != nil {
		return nil, fmt.Errorf("encode a tally: %w", err)
	}
	return append(bytes.TrimSuffix(head, []byte("}")), `,"items":[`...), nil
}

// acceptChunks accepts a list's chunks one after the other, so that of two requests with one key the first is the one that counts.
func (b *bulk) acceptChunks(read func() Chunk, answer *listText) error {
	ctx, stop := context.WithCancel(context.WithoutCancel(b.call.Context())) // what was read whole is accepted whole
	chunks := make(chan Chunk)
	var reading sync.WaitGroup
	reading.Go(func() { ReadChunks(ctx, read, chunks) })
	defer reading.Wait()
	defer stop()
	for {
		chunk := <-chunks
		if err := b.accept(ctx, &chunk); err != nil {
			return err
		}
		if err := answer.add(chunk.Answers); err != nil {
			return err
		}
		if chunk.Err != nil {
			return nil
		}
	}
}

// acceptInTurn accepts a list that was read when few enough others are being accepted. Those whose bodies still come, or whose answers
// are still read, take no turn.
func (b *bulk) acceptInTurn(list requestList, answer *listText) *Problem {
	if !takeSlot(b.call.Context(), b.api.accepting, b.api.config.Clock.After(answerTimeout)) {
		return busy("too many lists are accepted at once; nothing was done: ask again")
	}
	defer func() { <-b.api.accepting }()
	// A list that found no turn has cost its key nothing but the call.
	if err := b.who.Charge(len(list) - 1); err != nil {
		return b.problem(err, "nothing was done: ask again")
	}
	if err := b.acceptChunks(list.chunks(b.kind), answer); err != nil {
		return b.problem(err, "whether the requests were accepted is unknown: send all of them again, with the same keys")
	}
	return nil
}

// requestList is the requests of a list, each as its text: a part of the list's own, which is not copied.
type requestList [][]byte

// splitList splits a list into its requests. It returns a *tasks.FieldError for what is no list of 1 to ListMax values.
func splitList(text []byte) (requestList, error) {
	allowed := fmt.Sprintf("a JSON list of 1 to %d requests", ListMax)
	notList := func(problem string) error {
		return &tasks.FieldError{Field: "payload", Problem: problem, Allowed: allowed}
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	if token, err := decoder.Token(); err != nil || token != json.Delim('[') {
		return nil, notList("is no JSON list")
	}
	var list requestList
	var item json.RawMessage // decoded over and over into the same memory
	for decoder.More() {
		if len(list) == ListMax {
			return nil, notList(fmt.Sprintf("has more than %d requests", ListMax))
		}
		begun := decoder.InputOffset()
		if err := decoder.Decode(&item); err != nil {
			return nil, notList(fmt.Sprintf("is not JSON at request %d of the list: %v", len(list), err))
		}
		list = append(list, bytes.Trim(text[begun:decoder.InputOffset()], ", \t\r\n")) // the comma before it, and spaces
	}
	if _, err := decoder.Token(); err != nil {
		return nil, notList("ends within the list")
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, notList("has more after the list")
	}
	if len(list) == 0 {
		return nil, notList("is an empty list")
	}
	return list, nil
}

// chunks gives the list chunk by chunk.
func (l requestList) chunks(kind tasks.Kind) func() Chunk {
	next := 0
	return func() (chunk Chunk) {
		for size := 0; next < len(l) && len(chunk.Answers) < ChunkMax && size < chunkBytesMax; next++ {
			index := next
			size += len(l[next])
			if err := chunk.take(kind, ItemAnswer{Index: &index}, l[next]); err != nil {
				chunk.Err = err
				return chunk
			}
		}
		if next == len(l) {
			chunk.Err = io.EOF
		}
		return chunk
	}
}
