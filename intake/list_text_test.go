package intake

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/settled-dev/settled/tasks"
)

func TestRequestsOfAListAreItsOwnTextAndNoCopyOfIt(t *testing.T) {
	t.Parallel()
	text := []byte(" [ {\"a\": [1, 2]} ,\t\"b,\"\n, 3 ,null,[4] ,\r\n {} ] ")
	list, err := splitList(text)
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprintf("%s", list); got != `[{"a": [1, 2]} "b," 3 null [4] {}]` {
		t.Errorf("split into %s", got)
	}
	text[strings.Index(string(text), "3")] = '5'
	if string(list[2]) != "5" {
		t.Errorf("%s of %s: a list is in memory twice", list[2], text)
	}
}

func TestTextOfAListsAnswerIsThatOfTheWhole(t *testing.T) {
	t.Parallel()
	index := 1
	chunks := [][]ItemAnswer{
		{{Status: "accepted", ID: "i1", Key: "<k1>"}, {Index: &index, Status: "conflict", Fields: []tasks.Diff{{Field: "amount"}}}},
		{{Status: "refused", Error: &FieldProblem{Field: "payload"}}},
	}
	var text listText
	var whole ListAnswer
	for _, chunk := range chunks {
		if err := text.add(chunk); err != nil {
			t.Fatal(err)
		}
		whole.Add(chunk)
		whole.Items = append(whole.Items, chunk...)
	}
	head, err := text.head()
	if err != nil {
		t.Fatal(err)
	}
	want, err := json.Marshal(&whole)
	if got := string(head) + string(text.items) + listEnd; err != nil || got != string(want) {
		t.Errorf("%s %v, want %s", got, err, want)
	}
}

func TestChunksOfAListHaveNoMoreBytesThanThoseOfAStream(t *testing.T) {
	t.Parallel()
	long := "{" + strings.Repeat(" ", tasks.PayloadBytesMax-2) + "}" // a field is missing, so it is answered at once
	const requests = 2*chunkBytesMax/tasks.PayloadBytesMax + 1
	list, err := splitList([]byte("[" + strings.Repeat(long+",", requests-1) + long + "]"))
	if err != nil {
		t.Fatal(err)
	}
	read, next := 0, list.chunks(tasks.RewardGrant)
	for {
		chunk := next()
		read += len(chunk.Answers)
		if size := len(chunk.Answers) * tasks.PayloadBytesMax; size > chunkBytesMax {
			t.Errorf("a chunk of %d bytes, allowed: %d", size, chunkBytesMax)
		}
		if chunk.Err == io.EOF {
			break
		}
	}
	if read != requests {
		t.Errorf("read %d requests of %d", read, requests)
	}
}
