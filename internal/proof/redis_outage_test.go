package proof_test

import (
	"os/exec"
	"regexp"
	"testing"
)

var outageReport = regexp.MustCompile(`(?m)^accepted 600, [1-9]\d* of them in the [3-9]\.\d s that redis was away · lost 0 · doubled 0 · recovered in `)

// A Redis that is killed, stays away and comes back empty, under two workers: what is accepted meanwhile is applied, once. Two minutes of
// it are `settled drill redis-loss --own --outage 2m`.
func TestWhatIsAcceptedWhileRedisIsAwayIsAppliedOnce(t *testing.T) {
	t.Parallel()
	drill := exec.CommandContext(t.Context(), settledPath(t), "drill", "redis-loss", "--own", "--outage", "3s", "--requests", "600")
	said, err := drill.CombinedOutput()
	if err != nil || !outageReport.Match(said) {
		t.Errorf("%v\n%s", err, said)
	}
}
