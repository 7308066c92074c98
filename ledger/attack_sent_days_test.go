package ledger_test

var attacksOnSentDays = map[string]string{
	"user_has_one_sent_day_per_date":     "INSERT INTO sent_days SELECT * FROM sent_days LIMIT 1",
	"sent_day_counts_a_transfer":         "UPDATE sent_days SET transfers = -1, sent_fen = -1",
	"sent_day_counts_a_fen_per_transfer": "UPDATE sent_days SET sent_fen = transfers - 1",
	"book_counts_transfers_that_it_has":  "UPDATE books SET counted_to = next_transfer + 1",
}
