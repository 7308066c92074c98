package tasks

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/google/uuid"
)

// CaseRef names a case: the request that opened it, in its book, and which of that request's cases it is, from 0.
type CaseRef struct {
	Book    int
	Request uuid.UUID
	Ordinal int
}

// String is the case's id: 2.019b1c0e-6d5a-7c2e-9d4e-0a6f3f2b1c11.0. A case has one.
func (c CaseRef) String() string { return fmt.Sprintf("%d.%s.%d", c.Book, c.Request, c.Ordinal) }

// The ends of the book's and the ordinal's columns.
const smallintMax = 1<<15 - 1

// ParseCaseID reads a case's id. It takes the one text of each case only: what asks for a case twice must have one key. It returns a
// *FieldError for the field case_id.
func ParseCaseID(id string) (CaseRef, error) {
	book, rest, _ := strings.Cut(id, ".")
	request, ordinal, _ := strings.Cut(rest, ".")
	var ref CaseRef
	var errs [3]error
	ref.Book, errs[0] = strconv.Atoi(book)
	ref.Request, errs[1] = uuid.Parse(request)
	ref.Ordinal, errs[2] = strconv.Atoi(ordinal)
	for _, err := range errs {
		if err != nil {
			return CaseRef{}, badCaseID(id)
		}
	}
	if ref.String() != id || min(ref.Book, ref.Ordinal) < 0 || max(ref.Book, ref.Ordinal) > smallintMax {
		return CaseRef{}, badCaseID(id)
	}
	return ref, nil
}

func badCaseID(id string) *FieldError {
	return &FieldError{Field: "case_id", Problem: "is " + quote(id),
		Allowed: "a case's id as cases are listed with, such as 2.019b1c0e-6d5a-7c2e-9d4e-0a6f3f2b1c11.0"}
}

func (c *fieldCheck) caseID(id string) {
	if _, err := ParseCaseID(id); err != nil {
		c.refuse("case_id", "is "+quote(id), badCaseID(id).Allowed)
	}
}

// orCase checks that there is either an id or a case's.
func (c *fieldCheck) orCase(field, id, caseID string) {
	switch {
	case caseID == "":
		c.id(field, id)
	case id != "":
		c.refuse(field, "is given for a case", "an id, or a case_id")
	default:
		c.caseID(caseID)
	}
}

// caseIdentity books what is asked of a case in the case's book, under the case's id: the same is asked once, whoever asks.
func caseIdentity(id string) identity {
	ref, _ := ParseCaseID(id) // it was validated
	return identity{key: id, book: ref.Book}
}

// CaseCredit pays the money that stands behind a case to a user's cash, all of it.
type CaseCredit struct {
	CaseID string `json:"case_id"`
	UserID string `json:"user_id"`
	By     string `json:"by"`   // who decides it, a person
	Note   string `json:"note"` // why
}

// CaseReturn sends a channel's payment that stands in suspense back to its payer, through its channel, all of it; or has a refund that failed
// asked for again, under another number.
type CaseReturn struct {
	CaseID string `json:"case_id"`
	By     string `json:"by"`
	Note   string `json:"note"`
}

// CaseClosing closes a case by a statement of what became of its money outside of the books.
type CaseClosing struct {
	CaseID    string        `json:"case_id"`
	Statement CaseStatement `json:"statement"`
	By        string        `json:"by"`
	Note      string        `json:"note"`
}

// CaseStatement is what a person says of a case's money: a closed set, never renamed, only added to.
type CaseStatement string

// The statements.
const (
	// PaidAtChannel: the channel has paid the money behind the case back, by hand, under no number of ours.
	PaidAtChannel CaseStatement = "paid_at_channel"
	// ShortageStays: the case has no money behind it but a shortage, which stays where it is.
	ShortageStays CaseStatement = "shortage_stays"
)

// CaseStatements lists every statement.
func CaseStatements() []CaseStatement { return []CaseStatement{PaidAtChannel, ShortageStays} }

// Kind implements Payload.
func (*CaseCredit) Kind() Kind  { return CreditCase }
func (*CaseReturn) Kind() Kind  { return ReturnCase }
func (*CaseClosing) Kind() Kind { return CloseCase }

// identity of a credit has the user in its key: one that names another user than the refund's is rejected, and must not spend the owner's.
func (p *CaseCredit) identity() identity {
	who := caseIdentity(p.CaseID)
	who.key += ":" + p.UserID
	return who
}

func (p *CaseReturn) identity() identity { return caseIdentity(p.CaseID) }

// identity of a closing has the statement in its key: one that cannot be so of the case is rejected, and must not spend the other's key,
// which of a shortage is the only way out.
func (p *CaseClosing) identity() identity {
	who := caseIdentity(p.CaseID)
	who.key += ":" + string(p.Statement)
	return who
}

func (p *CaseCredit) normalize()  {}
func (p *CaseReturn) normalize()  {}
func (p *CaseClosing) normalize() {}

func (p *CaseCredit) validate(c *fieldCheck) {
	c.caseID(p.CaseID)
	c.id("user_id", p.UserID)
	c.decision(p.By, p.Note)
}

func (p *CaseReturn) validate(c *fieldCheck) {
	c.caseID(p.CaseID)
	c.decision(p.By, p.Note)
}

func (p *CaseClosing) validate(c *fieldCheck) {
	c.caseID(p.CaseID)
	oneOf(c, "statement", p.Statement, CaseStatements()...)
	c.decision(p.By, p.Note)
}

// BySettled is who decides when no person does.
const BySettled = "settled"

// refuseBySettled refuses a person's decision in the name of settled: what the policy decides is asked by a rule, and by nobody else.
func refuseBySettled(payload Payload) error {
	var by string
	switch p := payload.(type) {
	case *CaseCredit:
		by = p.By
	case *CaseReturn:
		by = p.By
	case *CaseClosing:
		by = p.By
	}
	if !strings.EqualFold(strings.TrimSpace(by), BySettled) {
		return nil
	}
	return &FieldError{Field: "by", Problem: "is " + quote(by), Allowed: "the person who decides"}
}

// decision checks who decides something that a person must answer for, and why.
func (c *fieldCheck) decision(by, note string) {
	c.text("by", by, true)
	c.text("note", note, true)
}
