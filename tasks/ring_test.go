package tasks_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/settled-dev/settled/tasks"
)

func idsText(n int) string {
	ids := make([]string, n)
	for i := range ids {
		ids[i] = `"` + ringIDs[i%2].String() + `"`
	}
	return "[" + strings.Join(ids, ",") + "]"
}

func TestTasksThatAreNoRingsAreToldApart(t *testing.T) {
	t.Parallel()
	const kind = string(tasks.RefundApply)
	one := idsText(1)
	for _, c := range []struct {
		name, taskType, payload string
		want                    error
	}{
		{"unknown type", "refund:pay", `{"v":1,"book":0,"ids":` + one + `}`, tasks.ErrMalformedRing},
		{"hostile type", "\x1b[31m" + strings.Repeat("x", 1<<20), `{"v":1}`, tasks.ErrMalformedRing},
		{"empty", kind, ``, tasks.ErrMalformedRing},
		{"not JSON", kind, "\x00\xff", tasks.ErrMalformedRing},
		{"a list", kind, `[]`, tasks.ErrMalformedRing},
		{"no version", kind, `{"book":0,"ids":` + one + `}`, tasks.ErrMalformedRing},
		{"a negative version", kind, `{"v":-1,"book":0,"ids":` + one + `}`, tasks.ErrMalformedRing},
		{"no ids", kind, `{"v":1,"book":0,"ids":[]}`, tasks.ErrMalformedRing},
		{"too many ids", kind, `{"v":1,"book":0,"ids":` + idsText(501) + `}`, tasks.ErrMalformedRing},
		{"an id that is none", kind, `{"v":1,"book":0,"ids":["refund-1"]}`, tasks.ErrMalformedRing},
		{"a negative book", kind, `{"v":1,"book":-1,"ids":` + one + `}`, tasks.ErrMalformedRing},
		{"a book beyond all", kind, `{"v":1,"book":1024,"ids":` + one + `}`, tasks.ErrMalformedRing},
		{"an amount", kind, `{"v":1,"book":"0.5","ids":` + one + `}`, tasks.ErrMalformedRing},
		{"a newer version", kind, `{"v":2,"book":0,"ids":` + one + `}`, tasks.ErrNewerRing},
		{"a newer version of another shape", kind, `{"v":7,"batches":[1,2]}`, tasks.ErrNewerRing},
		{"fields that were added", kind, `{"v":1,"book":1023,"ids":` + idsText(500) + `,"trace":"00-ab"}`, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, err := tasks.ParseRing(c.taskType, []byte(c.payload))
			if !errors.Is(err, c.want) || (c.want == nil) != (err == nil) {
				t.Fatalf("error is %v, want %v", err, c.want)
			}
			if err != nil && (len(err.Error()) > 300 || strings.ContainsAny(err.Error(), "\x00\x1b\n")) {
				t.Errorf("error is not fit for a log line: %q", err)
			}
		})
	}
}

func TestRingWithoutOrWithTooManyRequestsIsNotMade(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, tasks.RingIDsMax + 1} {
		if task, err := (tasks.Ring{Kind: tasks.RefundApply, IDs: make([]uuid.UUID, n)}).Task(); err == nil {
			t.Errorf("a ring of %d requests became %v", n, task)
		}
	}
}

func FuzzParseRing(f *testing.F) {
	f.Add("refund:apply", []byte(`{"v":1,"book":3,"ids":`+idsText(2)+`}`))
	f.Add("payment:capture", []byte(`{"v":1,"book":0,"ids":`+idsText(1)+`,"again":true}`))
	f.Add("sweep:run", []byte(`{"v":2}`))
	f.Fuzz(func(t *testing.T, taskType string, payload []byte) {
		ring, err := tasks.ParseRing(taskType, payload)
		if err != nil {
			if !errors.Is(err, tasks.ErrMalformedRing) && !errors.Is(err, tasks.ErrNewerRing) {
				t.Fatalf("unclassified: %v", err)
			}
			return
		}
		task, err := ring.Task()
		if err != nil {
			t.Fatalf("a ring that was read cannot be written: %v", err)
		}
		again, err := tasks.ParseRing(task.Type(), task.Payload())
		if err != nil || fmt.Sprint(again) != fmt.Sprint(ring) {
			t.Fatalf("%+v is %+v when written and read (%v)", ring, again, err)
		}
	})
}
