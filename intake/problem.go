package intake

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"

	"github.com/settled-dev/settled/tasks"
)

// Problem is the body of every refusal: a problem of RFC 9457 with members of our own.
type Problem struct {
	Type   string `json:"type" doc:"What kind of problem this is: urn:settled:problem: and one of refused, conflict, taken, state, not-found, no-method, unauthenticated, forbidden, too-much, busy, unavailable, internal."`
	Title  string `json:"title" doc:"The same as a sentence; it does not vary."`
	Status int    `json:"status" doc:"The HTTP status."`
	Detail string `json:"detail" doc:"What happened this time."`
	// Errors are the fields that were refused.
	Errors []FieldProblem `json:"errors,omitempty" doc:"Of a refusal: the field at fault."`
	// ID and Fields are of a conflict.
	ID     string       `json:"id,omitempty" doc:"Of a conflict: the stored request."`
	Fields []tasks.Diff `json:"fields,omitempty" doc:"Of a conflict: what differs between the stored request and this one."`

	header http.Header // more headers of the answer
}

// FieldProblem says what is wrong with one field.
type FieldProblem struct {
	Field   string `json:"field" doc:"As on the wire, such as legs[0].amount; payload when it is no field's fault."`
	Problem string `json:"problem" doc:"What is wrong with the value."`
	Allowed string `json:"allowed" doc:"What would be accepted."`
}

// The types of problem. They are wire values: never renamed, only added to.
const (
	problemRefused     = "urn:settled:problem:refused"
	problemConflict    = "urn:settled:problem:conflict"
	problemTaken       = "urn:settled:problem:taken"
	problemState       = "urn:settled:problem:state"
	problemNotFound    = "urn:settled:problem:not-found"
	problemUnavailable = "urn:settled:problem:unavailable"
	problemInternal    = "urn:settled:problem:internal"

	problemNoMethod        = "urn:settled:problem:no-method"
	problemUnauthenticated = "urn:settled:problem:unauthenticated"
	problemForbidden       = "urn:settled:problem:forbidden"
	problemTooMuch         = "urn:settled:problem:too-much"
	problemBusy            = "urn:settled:problem:busy"
)

const titleTooMuch = "The API key asks for too much at once"

// Error implements error.
func (p *Problem) Error() string { return p.Detail }

// GetStatus is the HTTP status; huma asks for it.
func (p *Problem) GetStatus() int { return p.Status }

// GetHeaders tells a client that was turned away for now when to come back, and one without a key how to send it; huma asks for it.
func (p *Problem) GetHeaders() http.Header {
	if p.Status != http.StatusServiceUnavailable {
		return p.header
	}
	return http.Header{"Retry-After": {"1"}}
}

// ContentType is RFC 9457's; huma asks for it.
func (p *Problem) ContentType(string) string { return "application/problem+json" }

// write answers a call with the problem.
func (p *Problem) write(w http.ResponseWriter) {
	maps.Copy(w.Header(), p.GetHeaders())
	w.Header().Set("Content-Type", p.ContentType(""))
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(p) // the caller may have left
}

// NewFieldProblem says in wire form what a *tasks.FieldError says.
func NewFieldProblem(err *tasks.FieldError) FieldProblem {
	return FieldProblem{Field: err.Field, Problem: err.Problem, Allowed: err.Allowed}
}

func refused(err *tasks.FieldError) *Problem {
	return &Problem{Type: problemRefused, Title: "The request is not allowed", Status: http.StatusUnprocessableEntity,
		Detail: err.Error(), Errors: []FieldProblem{NewFieldProblem(err)}}
}

func tooLarge(most int64) *Problem {
	problem := refused(&tasks.FieldError{Field: "payload", Problem: fmt.Sprintf("has more than %d bytes", most),
		Allowed: fmt.Sprintf("up to %d bytes", most)})
	problem.Status = http.StatusRequestEntityTooLarge
	return problem
}

func incomplete() *Problem {
	problem := refused(&tasks.FieldError{Field: "payload", Problem: "ended before it was complete, or came too slowly",
		Allowed: "the whole body"})
	problem.Status = http.StatusBadRequest
	return problem
}

func undeclared(mediaTypes string) *Problem {
	problem := refused(&tasks.FieldError{Field: "payload", Problem: "is not declared as JSON",
		Allowed: "the header Content-Type: " + mediaTypes})
	problem.Status = http.StatusUnsupportedMediaType
	return problem
}

func encoded() *Problem {
	problem := refused(&tasks.FieldError{Field: "payload", Problem: "is encoded, as the header Content-Encoding says",
		Allowed: "a body as it is: no such header, or identity"})
	problem.Status = http.StatusUnsupportedMediaType
	return problem
}

func conflict(receipt tasks.Receipt) *Problem {
	return &Problem{Type: problemConflict, Title: "The key was used before with other content", Status: http.StatusConflict,
		Detail: (&tasks.ConflictError{Receipt: receipt}).Error(), ID: receipt.ID.String(), Fields: receipt.Fields}
}

// taken answers for a key of another producer. It is the same whatever is stored, and whatever was asked.
func taken(what, key string) *Problem {
	return &Problem{Type: problemTaken, Title: "The key is another producer's", Status: http.StatusConflict,
		Detail: fmt.Sprintf("%s %q was asked for by another producer: keys are unique across producers", what, key)}
}

func wrongState(detail string) *Problem {
	return &Problem{Type: problemState, Title: "What was asked is no longer possible", Status: http.StatusConflict, Detail: detail}
}

func notFound(detail string) *Problem {
	return &Problem{Type: problemNotFound, Title: "Not found", Status: http.StatusNotFound, Detail: detail}
}

func unavailable(detail string) *Problem {
	return &Problem{Type: problemUnavailable, Title: "The books cannot be reached", Status: http.StatusServiceUnavailable, Detail: detail}
}

// busy answers a call for which this process has no room, whatever PostgreSQL does.
func busy(detail string) *Problem {
	return &Problem{Type: problemBusy, Title: "Too much is under way here", Status: http.StatusServiceUnavailable, Detail: detail}
}

// tooMuchOfKey answers a key that has enough under way.
func tooMuchOfKey(detail string) *Problem {
	return &Problem{Type: problemTooMuch, Title: titleTooMuch, Status: http.StatusTooManyRequests, Detail: detail,
		header: http.Header{"Retry-After": {"1"}}}
}

func internal(detail string) *Problem {
	return &Problem{Type: problemInternal, Title: "Something is wrong here", Status: http.StatusInternalServerError, Detail: detail}
}

// fieldProblem answers with 422 for a field's error, and is nil for any other.
func fieldProblem(err error) *Problem {
	var bad *tasks.FieldError
	if !errors.As(err, &bad) {
		return nil
	}
	return refused(bad)
}
