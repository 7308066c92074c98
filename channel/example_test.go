package channel_test

import (
	"context"
	"fmt"

	"github.com/settled-dev/settled/channel"
)

// A worker sends a refund whose reply may be lost: an error or a state that is not final means later, and then it queries first.
func ExamplePursue() {
	simulator := channel.NewSimulator(channel.SimulatorConfig{UnknownPerMille: 1000})
	order := refundOrder("rf01")
	for attempt := range 3 {
		answer, err := channel.Pursue(context.Background(), simulator, order, attempt > 0)
		result, final := channel.Result(order, answer)
		if err != nil || !final {
			fmt.Println("unknown, later")
			continue
		}
		fmt.Println(result.Kind(), result.Number, result.Result)
		break
	}
	fmt.Println(simulator.Calls("rf01"))
	// Output:
	// unknown, later
	// refund:answer rf01 succeeded
	// {1 1}
}
