package ledger_test

var attacksOnSlots = map[string]string{
	"slot_is_claimed_once":             newSlot("'sweep', '2026-03-02', '2026-03-01 16:30Z'") + ";" + newSlot("'sweep', '2026-03-02', '2026-03-01 16:31Z'"),
	"slot_job_has_1_to_64_bytes":       newSlot("'', '2026-03-02', '2026-03-01 16:30Z'"),
	"slot_is_due_on_its_business_date": newSlot("'sweep', '2026-03-02', '2026-03-01 15:59Z'"),
}

func newSlot(values string) string {
	return "INSERT INTO slots (claimed_by, requests, job, business_date, due_at) VALUES ('x', '{}', " + values + ")"
}
