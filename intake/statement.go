package intake

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/negotiation"

	"github.com/settled-dev/settled/intake/access"
	"github.com/settled-dev/settled/internal/postgres"
	"github.com/settled-dev/settled/ledger"
)

// mediaCSV is RFC 4180's.
const mediaCSV = "text/csv"

// StatementPage is a page of a user's statement, the newest first.
type StatementPage struct {
	UserID string         `json:"user_id"`
	Items  []ledger.Entry `json:"items"`
	Next   string         `json:"next,omitempty" doc:"The cursor of the next, older page; absent on the last."`
}

type statementInput struct {
	UserID string `path:"user_id"`
	From   string `query:"from" doc:"A time of RFC 3339: what was posted then or later."`
	To     string `query:"to" doc:"A time of RFC 3339: what was posted before it."`
	Accept string `header:"Accept" hidden:"true"`
	PageQuery
}

type statementOutput struct {
	ContentType string `header:"Content-Type"`
	Link        string `header:"Link"`
	Vary        string `header:"Vary"`
	Body        []byte
}

func (a *API) registerStatement(routes huma.API) {
	registry := routes.OpenAPI().Components.Schemas
	responses := problemResponses(registry, "404", "422", "503")
	responses["200"] = &huma.Response{Description: "A page", Content: map[string]*huma.MediaType{
		mediaJSON: {Schema: schemaOf(registry, reflect.TypeFor[StatementPage]())},
		mediaCSV:  {Schema: &huma.Schema{Type: huma.TypeString, Description: strings.Join(statementColumns, ",")}},
	}, Headers: map[string]*huma.Param{"Link": {Description: `The next page, as <...>; rel="next".`,
		Schema: &huma.Schema{Type: huma.TypeString}}}}
	huma.Register(routes, huma.Operation{
		OperationID: "get-statement", Method: http.MethodGet, Path: "/v1/users/{user_id}/statement", Tags: []string{"users"},
		Summary: "List what moved on a user's accounts, with running balances",
		Description: "What is posted while somebody pages is newer than what they page through: it moves no entry to another page. " +
			"In CSV a text that a spreadsheet would take for a formula has an apostrophe before it.",
		Security: needs(access.Read), Responses: responses,
	}, a.statement)
}

func (a *API) statement(ctx context.Context, in *statementInput) (*statementOutput, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	list := []string{"statement", in.UserID, in.From, in.To}
	query, err := in.query(list)
	if problem := fieldProblem(err); problem != nil {
		return nil, problem
	}
	read, err := a.config.Reader.StatementPage(ctx, query)
	page := StatementPage{UserID: in.UserID, Items: read.Entries}
	if err == nil && len(read.Next) > 0 {
		page.Next, err = newCursor(list, read.Next)
	}
	var out *statementOutput
	if err == nil {
		out, err = page.write(in.Accept)
	}
	switch {
	case errors.Is(err, ledger.ErrNotFound), postgres.IsContent(err):
		return nil, notFound(fmt.Sprintf("user %q has no accounts: they open with the first credit", in.UserID))
	case err != nil:
		return nil, a.failure(ctx, err, "ask again")
	}
	out.Link = in.nextLink(page.Next, url.Values{"from": {in.From}, "to": {in.To}})
	return out, nil
}

func (in *statementInput) query(list []string) (query ledger.StatementQuery, err error) {
	query.UserID = in.UserID
	if query.From, err = parseTime("from", in.From); err != nil {
		return query, err
	}
	if query.To, err = parseTime("to", in.To); err != nil {
		return query, err
	}
	if query.Limit, err = in.limit(); err != nil {
		return query, err
	}
	_, err = in.position(list, &query.After)
	return query, err
}

// write writes a page as the caller accepts it, JSON unless CSV is preferred.
func (p *StatementPage) write(accept string) (*statementOutput, error) {
	out := &statementOutput{Vary: "Accept", ContentType: mediaJSON}
	var err error
	if negotiation.SelectQValue(accept, []string{mediaJSON, mediaCSV}) == mediaCSV {
		out.ContentType = mediaCSV + "; charset=utf-8; header=present"
		out.Body, err = p.csv()
	} else {
		out.Body, err = json.Marshal(p)
	}
	if err != nil {
		return nil, fmt.Errorf("write a statement: %w", err)
	}
	return out, nil
}

var statementColumns = []string{"seq", "posted_at", "business_date", "account", "amount", "balance", "other", "kind", "key"}

func (p *StatementPage) csv() ([]byte, error) {
	var text bytes.Buffer
	table := csv.NewWriter(&text)
	table.UseCRLF = true
	rows := [][]string{statementColumns}
	for _, e := range p.Items {
		rows = append(rows, []string{strconv.FormatInt(e.Seq, 10), e.PostedAt.UTC().Format(time.RFC3339Nano), e.BusinessDate,
			noFormula(string(e.Account)), e.Amount.String(), e.Balance.String(), noFormula(string(e.Other)), noFormula(string(e.Kind)),
			noFormula(e.Key)})
	}
	err := table.WriteAll(rows)
	return text.Bytes(), err
}

// noFormula marks a text that a spreadsheet would compute as text. Amounts are never marked: a number with a minus is no formula.
func noFormula(text string) string {
	if text != "" && strings.ContainsRune("=+-@\t\r\n", rune(text[0])) {
		return "'" + text
	}
	return text
}
