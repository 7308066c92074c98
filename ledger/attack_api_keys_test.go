package ledger_test

var attacksOnAPIKeys = map[string]string{}
