package ledger_test

var attacksOnCaseClosings = map[string]string{
	"case_is_closed_once":                  newClosing("note", "'x'") + ";" + newClosing("closing_request_id", "gen_random_uuid()"),
	"request_closes_one_case":              newClosing("note", "'x'") + ";" + newClosing("ordinal", "1"),
	"closing_says_by_whom":                 newClosing("closed_by", "''"),
	"closing_says_why":                     newClosing("note", "''"),
	"open_case_is_listed_once":             "INSERT INTO open_cases SELECT book, request_id, ordinal, opened_at FROM cases; INSERT INTO open_cases SELECT * FROM open_cases",
	"case_is_not_closed_by_what_opened_it": newClosing("closing_request_id", "'019b1c0e-6d5a-7c2e-9d4e-0a6f3f2b1c11'"),
}

// newClosing closes a case in a way that is good but for one column.
func newClosing(column, value string) string {
	columns := map[string]string{"book": "0", "request_id": "'019b1c0e-6d5a-7c2e-9d4e-0a6f3f2b1c11'", "ordinal": "0",
		"closing_request_id": "'019b1c0e-6d5a-7c2e-9d4e-0a6f3f2b1c12'", "closed_by": "'ada'", "note": "'paid'", "closed_at": "now()"}
	columns[column] = value
	return insertInto("case_closings", columns)
}
