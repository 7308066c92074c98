package ledger_test

var attacksOnWebhooks = map[string]string{
	"webhook_endpoint_is_identified":               newEndpoint("url", "'https://a.example'") + ";" + newEndpoint("url", "'https://b.example'"),
	"webhook_endpoint_producer_has_1_to_64_bytes":  newEndpoint("producer", "repeat('x', 65)"),
	"webhook_url_has_1_to_2000_bytes":              newEndpoint("url", "''"),
	"webhook_endpoint_wants_some_event":            newEndpoint("events", "'{}'"),
	"webhook_secret_has_24_to_64_bytes":            newEndpoint("secret", "'too short'"),
	"previous_webhook_secret_ends":                 newEndpoint("previous_secret", "'previous secret of 24 b.'"),
	"webhook_endpoint_knows_where_the_books_stood": newEndpoint("told_since", "'{}'"),
	"webhook_sequence_begins_at_one":               newEndpoint("next_sequence", "0"),
	"disabled_webhook_endpoint_says_why":           newEndpoint("disabled_at", "now()"),
	"gone_webhook_endpoint_is_disabled":            newEndpoint("gone", "true"),

	"webhook_cursor_is_one_per_book": "INSERT INTO webhook_cursors VALUES (0, now()), (0, now())",

	"webhook_message_is_numbered_within_its_endpoint": newMessage("event", "'refund.applied'") + ";" + newMessage("request_id", "gen_random_uuid()"),
	"outcome_is_told_once_to_an_endpoint":             newMessage("sequence", "1") + ";" + newMessage("sequence", "2"),
	"webhook_message_number_is_positive":              newMessage("sequence", "0"),
	"webhook_attempts_are_never_negative":             newMessage("attempts", "-1"),
	"webhook_message_state_is_known":                  newMessage("sequence", "1") + "; UPDATE webhook_messages SET state = 'lost', ended_at = now()",
	"webhook_message_ends_when_it_no_longer_waits":    newMessage("state", "'delivered'"),
}

// newEndpoint inserts an endpoint that is good but for one column.
func newEndpoint(column, value string) string {
	columns := map[string]string{"id": "'we_1'", "producer": "'shop'", "url": "'https://shop.example/hook'", "events": "'{refund.applied}'",
		"secret": "'a secret of some 24 bytes'", "told_since": "'{epoch}'", "created_by": "'ada'"}
	columns[column] = value
	return insertInto("webhook_endpoints", columns)
}

// newMessage inserts a waiting message that is good but for one column.
func newMessage(column, value string) string {
	columns := map[string]string{"endpoint_id": "'we_1'", "sequence": "1", "event": "'refund.applied'", "book": "0",
		"request_id": "'00000000-0000-7000-8000-000000000001'"}
	columns[column] = value
	return insertInto("webhook_messages", columns)
}
