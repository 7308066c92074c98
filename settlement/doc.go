// Package settlement is where merchants will be paid what their orders earned: merchant payable -> reserve, less a fee. It comes
// later. There is nothing here yet: no rule, no kind of request, no state; what merchants are owed stands in their payable accounts.
package settlement
