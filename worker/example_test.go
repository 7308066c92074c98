package worker_test

import (
	"fmt"

	"github.com/settled-dev/settled/tasks"
	"github.com/settled-dev/settled/worker"
)

// A process that serves the sweeps alone needs few connections; what the URL says wins.
func ExampleRedisOptions() {
	sweeps := map[tasks.Queue]int{tasks.Sweeps: 2}
	for _, url := range []string{"redis://127.0.0.1:6379/0", "redis://127.0.0.1:6379/0?pool_size=50"} {
		options, err := worker.RedisOptions(url, sweeps)
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(options.Addr, options.PoolSize)
	}
	// Output:
	// 127.0.0.1:6379 22
	// 127.0.0.1:6379 50
}
