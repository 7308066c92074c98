package ledger_test

var attacksOnAPIKeys = map[string]string{
	"api_key_is_identified":              newAPIKey("label", "'till 3'") + ";" + newAPIKey("label", "'till 4'"),
	"api_key_id_has_16_hex_digits":       newAPIKey("id", "'00000000DEADBEEF'"),
	"api_key_producer_has_1_to_64_bytes": newAPIKey("producer", "repeat('p', 65)"),
	"api_key_label_is_short":             newAPIKey("label", "repeat('x', 201)"),
	"api_key_may_do_something":           newAPIKey("scopes", "'{}'"),
	"api_key_secret_is_hashed":           newAPIKey("secret_sha256", "'in the clear'"),
	"revocation_says_who":                newAPIKey("revoked_at", "now()"),
}

// newAPIKey inserts a key that is good but for one column.
func newAPIKey(column, value string) string {
	columns := map[string]string{"id": "'0123456789abcdef'", "producer": "'orders'", "scopes": "'{requests}'",
		"secret_sha256": "sha256('secret')", "created_by": "'ada'"}
	columns[column] = value
	return insertInto("api_keys", columns)
}
