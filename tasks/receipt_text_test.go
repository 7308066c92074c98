package tasks

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"
)

func TestReceiptsAreWrittenAsEncodingJSONWritesThem(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		r := Receipt{ID: uuid.UUID(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "id")), Book: rapid.Int().Draw(t, "book"),
			Kind: rapid.SampledFrom(Kinds()).Draw(t, "kind"), Key: rapid.String().Draw(t, "key"),
			Status: rapid.SampledFrom([]Status{Accepted, Replayed, Conflicting, "<odd>"}).Draw(t, "status"), Producer: "not told"}
		if rapid.Bool().Draw(t, "decided") {
			r.Outcome = &Outcome{Result: Applied, Transfers: 1, DecidedAt: time.Unix(1, 0).UTC()}
		}
		if rapid.Bool().Draw(t, "conflicts") {
			r.Fields = []Diff{{Field: "amount", Stored: "1.00", Asked: "2.00"}}
		}
		want, err := json.Marshal(&r)
		if err != nil {
			t.Fatal(err)
		}
		got, err := r.AppendJSON([]byte("before "))
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != "before "+string(want) {
			t.Fatalf("encoding/json %s\nwe            %s", want, got)
		}
	})
}
