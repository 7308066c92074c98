package ledger_test

var attacksOnBooks = map[string]string{
	"book_is_identified":       "INSERT INTO books (book) VALUES (0)",
	"book_is_not_negative":     "INSERT INTO books (book) VALUES (-1)",
	"policy_version_is_unique": "INSERT INTO policies (version, document, set_by) VALUES (7, '{}', 'x'), (7, '{}', 'y')",

	"request_is_identified_within_its_book": "INSERT INTO requests SELECT book, id, kind, 'other key', version, payload, producer, occurred_at, business_date FROM requests LIMIT 1",
	"request_key_is_unique_within_its_kind": "INSERT INTO requests SELECT (book + 1) % 4, gen_random_uuid(), kind, key, version, payload, producer, occurred_at, business_date FROM requests LIMIT 1",
	"request_key_has_1_to_200_bytes":        "INSERT INTO requests SELECT book, gen_random_uuid(), kind, '', version, payload, producer, occurred_at, business_date FROM requests LIMIT 1",
	"request_version_is_positive":           "INSERT INTO requests SELECT book, gen_random_uuid(), kind, 'k', 0, payload, producer, occurred_at, business_date FROM requests LIMIT 1",

	"pending_request_is_identified_within_its_book": "INSERT INTO pending SELECT * FROM pending LIMIT 1",
	"pending_state_is_known":                        "UPDATE pending SET state = 'done', waits_for = NULL",
	"pending_request_waits_only_when_parked":        "UPDATE pending SET waits_for = NULL WHERE state = 'parked'",
	"parked_request_says_since_when":                "UPDATE pending SET parked_at = NULL WHERE state = 'parked'",
	"dead_request_says_why":                         "UPDATE pending SET state = 'dead', waits_for = NULL, last_error = NULL",

	"request_has_at_most_one_outcome": "INSERT INTO outcomes SELECT * FROM outcomes LIMIT 1",
	"outcome_is_applied_or_rejected":  newOutcome("'maybe', NULL, 1, 0"),
	"rejection_says_why":              newOutcome("'rejected', NULL, 1, 0"),
	"rejection_moves_nothing":         newOutcome("'rejected', 'no_account', 1, 1"),
	"outcome_counts_its_transfers":    newOutcome("'applied', NULL, 1, -1"),

	"account_is_identified_within_its_book":    "INSERT INTO accounts SELECT book, id, name || 'x', kind, guarded FROM accounts LIMIT 1",
	"account_name_is_unique_within_its_book":   "INSERT INTO accounts SELECT book, id + 1000, name, kind, guarded FROM accounts LIMIT 1",
	"guarded_account_is_never_below_its_holds": "UPDATE accounts SET balance_fen = -1 WHERE kind = 'user_cash'",
	"hold_is_never_negative":                   "UPDATE accounts SET held_fen = -1 WHERE NOT guarded",
	"account_kind_is_known":                    "INSERT INTO accounts (book, id, name, kind, guarded) VALUES (0, 1000, 'x', 'gift', false)",
	"accounts_of_users_are_guarded":            "UPDATE accounts SET guarded = false WHERE kind = 'user_cash'",

	"transfer_is_numbered_within_its_book":    "INSERT INTO transfers SELECT * FROM transfers LIMIT 1",
	"transfer_amount_is_positive":             newTransfer("1, 2, 0, NULL, NULL, NULL, NULL"),
	"transfer_has_two_different_accounts":     newTransfer("1, 1, 1, NULL, NULL, NULL, NULL"),
	"debited_version_comes_with_its_balance":  newTransfer("1, 2, 1, 1000, NULL, NULL, NULL"),
	"credited_version_comes_with_its_balance": newTransfer("1, 2, 1, NULL, NULL, NULL, 5"),
	"debited_user_is_never_negative":          newTransfer("1, 2, 1, 1000, -1, NULL, NULL"),
	"account_version_is_debited_once": `INSERT INTO transfers SELECT book, seq + 1000, request_id, debit_account, credit_account, amount_fen,
		debit_version, debit_balance_fen, NULL, NULL, business_date, posted_at FROM transfers WHERE debit_version IS NOT NULL LIMIT 1`,
	"account_version_is_credited_once": `INSERT INTO transfers SELECT book, seq + 1000, request_id, debit_account, credit_account, amount_fen,
		NULL, NULL, credit_version, credit_balance_fen, business_date, posted_at FROM transfers WHERE credit_version IS NOT NULL LIMIT 1`,

	"order_is_captured_once":                   "INSERT INTO orders SELECT * FROM orders LIMIT 1",
	"order_captures_a_positive_amount":         "INSERT INTO orders SELECT book, 'o9', user_id, merchant_id, request_id, 0, captured_at FROM orders LIMIT 1",
	"leg_is_numbered_within_its_order":         "INSERT INTO legs SELECT * FROM legs LIMIT 1",
	"leg_captures_a_positive_amount":           "INSERT INTO legs SELECT book, order_id, 9, source, NULL, 0, 0 FROM legs LIMIT 1",
	"leg_is_never_refunded_beyond_its_capture": "UPDATE legs SET refunded_fen = captured_fen + 1",
	"line_is_identified_within_its_order":      "INSERT INTO order_lines SELECT * FROM order_lines LIMIT 1",
	"line_allocates_and_refunds_the_same_legs": "UPDATE order_lines SET refunded_fen = refunded_fen || 0::bigint",
	"channel_payment_is_booked_within_its_book": `ALTER TABLE channel_receipts DROP CONSTRAINT channel_payment_funds_one_request;
		INSERT INTO channel_receipts SELECT * FROM channel_receipts LIMIT 1`,
	"channel_payment_funds_one_request": "INSERT INTO channel_receipts SELECT (book + 1) % 4, channel, channel_txn_id, gen_random_uuid() FROM channel_receipts LIMIT 1",

	"user_is_enrolled_once_per_product":       "INSERT INTO enrolments SELECT * FROM enrolments LIMIT 1",
	"keep_amount_is_never_negative":           "UPDATE enrolments SET keep_fen = -1",
	"user_is_swept_once_per_product_and_date": "INSERT INTO subscriptions SELECT * FROM subscriptions LIMIT 1",
	"subscription_amount_is_positive":         "UPDATE subscriptions SET amount_fen = 0",
	"sweep_leaves_the_keep_amount":            "UPDATE subscriptions SET keep_fen = cash_after_fen + 1",
	"subscription_state_is_known":             "UPDATE subscriptions SET state = 'lost'",

	"case_is_numbered_within_its_request": newCase("0, 1") + ";" + newCase("0, 1"),
	"case_amount_is_positive":             newCase("1, 0"),
	"attempt_event_is_known":              "INSERT INTO attempts (book, request_id, event) VALUES (0, gen_random_uuid(), 'lost')",
	"stray_excerpt_is_short":              "INSERT INTO strays (queue, task_id, problem, excerpt) VALUES ('q', 't', 'p', repeat('x', 1025))",
}

func newOutcome(values string) string {
	return "INSERT INTO outcomes (book, request_id, attempts, decided_at, result, reason, first_transfer, transfers) VALUES (0, gen_random_uuid(), 0, now(), " + values + ")"
}

func newTransfer(values string) string {
	return `INSERT INTO transfers (book, seq, request_id, business_date, posted_at, debit_account, credit_account, amount_fen, debit_version,
		debit_balance_fen, credit_version, credit_balance_fen) VALUES (0, 1000, gen_random_uuid(), now(), now(), ` + values + ")"
}

func newCase(values string) string {
	return "INSERT INTO cases (book, request_id, kind, account, detail, opened_at, ordinal, amount_fen) " +
		"VALUES (0, '00000000-0000-7000-8000-000000000001', 'k', 'a', 'd', now(), " + values + ")"
}
