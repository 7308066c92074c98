package worker

import "github.com/settled-dev/settled/tasks"

// RingThrough makes a ledger's Config.Ring of a client: follow-ups and woken requests are rung behind the batch's back, together with
// what the client accepts itself. It never blocks; what it loses the relay rings.
func RingThrough(client *tasks.Client) func([]tasks.Bell) {
	return func(bells []tasks.Bell) {
		receipts := make([]tasks.Receipt, len(bells))
		for i, bell := range bells {
			receipts[i] = tasks.Receipt{ID: bell.ID, Book: bell.Book, Kind: bell.Kind, Status: tasks.Accepted}
		}
		client.Ring(receipts...)
	}
}
