package scheduler_test

import (
	"fmt"

	"github.com/settled-dev/settled/scheduler"
	"github.com/settled-dev/settled/tasks"
)

// A job says when it is due and what its slot asks for; the slot's date stands in the requests, whenever they are made.
func ExampleNightlySweep() {
	job := scheduler.NightlySweep()
	fmt.Println(job.Name, "at", job.At)
	for _, payload := range job.Requests(tasks.DefaultPolicy(), "2024-02-29") {
		sweep := payload.(*tasks.Sweep)
		fmt.Println(sweep.Kind(), sweep.ProductID, sweep.BusinessDate)
	}
	// Output:
	// sweep at 00:30
	// sweep:run xiaojinku 2024-02-29
}
