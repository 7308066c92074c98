package redistest_test

import (
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/settled-dev/settled/internal/devstack/redistest"
)

func TestEveryCallGivesAnEmptyRedisOfItsOwn(t *testing.T) {
	t.Parallel()
	for range 2 {
		options, err := redis.ParseURL(redistest.New(t).URL)
		if err != nil {
			t.Fatal(err)
		}
		client := redis.NewClient(options)
		if size, err := client.DBSize(t.Context()).Result(); err != nil || size != 0 {
			t.Errorf("%d keys, %v; want an empty Redis", size, err)
		}
		if err := client.Set(t.Context(), "key", "value", 0).Err(); err != nil {
			t.Error(err)
		}
		if err := client.Close(); err != nil {
			t.Error(err)
		}
	}
}
