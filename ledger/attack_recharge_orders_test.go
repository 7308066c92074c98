package ledger_test

var attacksOnRechargeOrders = map[string]string{}
