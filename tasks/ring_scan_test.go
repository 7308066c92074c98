package tasks

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
)

func TestEveryRingThatIsWrittenIsScanned(t *testing.T) {
	t.Parallel()
	for _, ring := range []Ring{
		{Kind: RefundApply, IDs: []uuid.UUID{uuid.New()}},
		{Kind: RefundApply, Book: 1023, IDs: []uuid.UUID{uuid.New(), uuid.New()}, Again: true},
		{Kind: RefundApply, Book: 10, IDs: make([]uuid.UUID, RingIDsMax)},
	} {
		task, err := ring.Task()
		if err != nil {
			t.Fatal(err)
		}
		wire, ok := scanRing(task.Payload())
		want := ringWire{Version: ringVersion, Book: ring.Book, IDs: ring.IDs, Again: ring.Again}
		if !ok {
			t.Fatalf("%.80s: left to json", task.Payload())
		}
		if diff := cmp.Diff(want, wire); diff != "" {
			t.Error(diff)
		}
	}
}

// FuzzScanRing: what is scanned means the same to json; whatever json cannot read is not scanned.
func FuzzScanRing(f *testing.F) {
	const id = "01890a5d-ac96-774b-bcce-b302099a8057"
	for _, seed := range []string{
		`{"v":1,"book":3,"ids":["` + id + `","` + id + `"]}`, `{"v":1,"book":0,"ids":["` + id + `"],"again":true}`,
		`{"v":1,"book":01,"ids":["` + id + `"]}`, `{"v":1,"book":-1,"ids":["` + id + `"]}`, `{"v":1,"book":0,"ids":["` + id + `",]}`,
		`{"v":1,"book":0,"ids":[]}`, `{"v":1,"book":+1,"ids":["` + id + `"]}`, `{"v":1,"book":0,"ids":["` + id + `"]} `,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		scanned, ok := scanRing(payload)
		if !ok {
			return
		}
		var read ringWire
		if err := json.Unmarshal(payload, &read); err != nil {
			t.Fatalf("%q was scanned, json says %v", payload, err)
		}
		if diff := cmp.Diff(read, scanned); diff != "" {
			t.Fatal(diff)
		}
	})
}
