package intake

import (
	"testing"
	"time"
)

func TestPreferenceForWaitingIsReadAsRFC7240Says(t *testing.T) {
	t.Parallel()
	for header, want := range map[string]struct {
		wait  time.Duration
		found bool
	}{
		"wait=5": {5 * time.Second, true}, "Wait = 5": {5 * time.Second, true}, `wait="5"`: {5 * time.Second, true},
		"respond-async, wait=10": {10 * time.Second, true}, "wait=3; x=y, wait=9": {3 * time.Second, true}, "wait=30": {WaitMax, true},
		"wait=31": {WaitMax, true}, "wait=2147483647": {WaitMax, true}, "wait=0": {0, true},
		"wait": {0, true}, "wait=": {0, true}, "wait=-1": {0, true}, "wait=1.5": {0, true}, "wait=4294967295": {WaitMax, true},
		"wait=99999999999999999999": {WaitMax, true},
		`wait="`:                    {0, true}, "": {}, "return=minimal": {}, "waiting=5": {}, `note="a, wait=5"`: {}, `note="\", wait=5"`: {},
		`note="x", wait=5`: {5 * time.Second, true}, ",,;": {}, `"`: {}, `"\`: {},
	} {
		if wait, found := parseWait(header); wait != want.wait || found != want.found {
			t.Errorf("%q: %s %t, want %s %t", header, wait, found, want.wait, want.found)
		}
	}
}

func FuzzPreferenceForWaiting(f *testing.F) {
	for _, seed := range []string{"wait=5", `a="b,c;d", wait="7";e`, `wait="\"`, "respond-async,wait = 10 "} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, header string) {
		if wait, found := parseWait(header); wait < 0 || wait > WaitMax || wait > 0 && !found {
			t.Errorf("%q: %s %t", header, wait, found)
		}
	})
}
