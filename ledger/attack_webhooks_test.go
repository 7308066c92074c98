package ledger_test

var attacksOnWebhooks = map[string]string{}
