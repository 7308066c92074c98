package proof_test

import (
	"os/exec"
	"strings"
	"testing"
)

// SIGKILL of any process and a wiped Redis at random moments, under the four simulated channels at load: their record and the books agree.
// A minute of it is `settled drill channels`; a seed that failed is run again by its --seed.
func TestChannelsRecordAgreesWithTheBooksWhateverIsKilled(t *testing.T) {
	t.Parallel()
	drill := exec.CommandContext(t.Context(), settledPath(t), "drill", "channels", "--for", "8s", "--shoppers", "8", "--pause", "100ms")
	said, err := drill.CombinedOutput()
	if err != nil || !strings.Contains(string(said), "lost 0 · doubled 0 · books balance") {
		t.Errorf("%v\n%s", err, said)
	}
}
