package bench

import (
	"errors"
	"testing"
)

func TestMemoryOutsideOfTheHeapKeepsWhatFitsAndRefusesTheRest(t *testing.T) {
	t.Parallel()
	held, err := newOutside(8)
	if err != nil {
		t.Fatal(err)
	}
	defer held.free()
	var kept [2][]byte
	for i, text := range []string{"first", "two"} {
		if kept[i], err = held.keep([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := held.keep([]byte("x")); !errors.Is(err, errOutsideIsFull) {
		t.Errorf("a ninth byte: %v, want %v", err, errOutsideIsFull)
	}
	if got := append(kept[0], '!'); string(kept[1]) != "two" || string(got) != "first!" {
		t.Errorf("kept %q and %q, want that what is appended to one leaves the other alone", got, kept[1])
	}
}
