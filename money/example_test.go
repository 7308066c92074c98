package money_test

import (
	"encoding/json"
	"fmt"

	"github.com/settled-dev/settled/money"
)

func ExampleParse() {
	amount, err := money.Parse("12.3")
	fmt.Println(amount, err)
	_, err = money.Parse("1e5")
	fmt.Println(err)
	// Output:
	// 12.30 <nil>
	// "1e5" is in exponent notation; allowed is a decimal string in yuan with at most two places, such as "12.30", from -100000000000.00 to 100000000000.00
}

// A refund of 30.00 goes back by the legs that paid: 80.00 of balance, 20.00 of WeChat.
func ExampleSplit() {
	legs := []money.Amount{money.FromFen(80_00), money.FromFen(20_00)}
	fmt.Println(money.Split(money.FromFen(30_00), legs))
	fmt.Println(money.Split(money.FromFen(1), legs))
	// Output:
	// [24.00 6.00]
	// [0.01 0.00]
}

// Most of the WeChat leg has been refunded already: what it cannot take any more
// goes to the balance leg.
func ExampleSplitCapped() {
	legs := []money.Amount{money.FromFen(80_00), money.FromFen(20_00)}
	refundable := []money.Amount{money.FromFen(80_00), money.FromFen(1_50)}
	fmt.Println(money.SplitCapped(money.FromFen(30_00), legs, refundable))
	// Output:
	// [28.50 1.50]
}

// A day's income at 0.5218 yuan per 10,000 units, as a fund publishes it.
func ExampleAmount_MulRate() {
	income, err := money.ParseRate("0.5218")
	if err != nil {
		fmt.Println(err)
		return
	}
	balance := money.FromFen(12_345_67)
	fmt.Println(balance.MulRate(income.PerTenThousand(), money.RoundDown))
	// Output:
	// 0.64
}

func ExampleAmount_MarshalJSON() {
	text, err := json.Marshal(map[string]money.Amount{"amount": money.FromFen(3000)})
	fmt.Println(string(text), err)
	// Output:
	// {"amount":"30.00"} <nil>
}
