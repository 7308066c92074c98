package access_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/settled-dev/settled/intake/access"
	"github.com/settled-dev/settled/tasks"
)

func TestEveryKindThatProducersAskForHasAScope(t *testing.T) {
	t.Parallel()
	want := map[tasks.Kind]access.Scope{
		tasks.PaymentCapture: "payments:write", tasks.RefundApply: "refunds:write", tasks.RechargeConfirm: "recharges:write",
		tasks.RewardGrant: "rewards:write", tasks.TransferSend: "transfers:write", tasks.WealthEnrol: "wealth:write", tasks.SweepRun: "admin",
		tasks.CreditCase: "admin", tasks.ReturnCase: "admin", tasks.CloseCase: "admin",
	}
	for _, kind := range tasks.Kinds() {
		switch scope := access.ScopeOf(kind); {
		case kind.Internal():
			if scope != access.Admin {
				t.Errorf("%s, which nobody asks for, needs %s", kind, scope)
			}
		case want[kind] == "":
			t.Errorf("%s has no scope: decide which one it needs", kind)
		case scope != want[kind]:
			t.Errorf("%s needs %s, want %s", kind, scope, want[kind])
		}
	}
	if scope := access.ScopeOf("no:such"); scope != access.Admin {
		t.Errorf("an unknown kind needs %s", scope)
	}
}

func TestScopesAreReadOnceEachInOneOrder(t *testing.T) {
	t.Parallel()
	got, err := access.ParseScopes([]string{"admin", "read", "refunds:write", "read"})
	if diff := cmp.Diff([]access.Scope{access.RefundsWrite, access.Read, access.Admin}, got); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	for _, names := range [][]string{nil, {""}, {"read", "Read"}, {"refunds"}, {"*"}} {
		var bad *tasks.FieldError
		if got, err := access.ParseScopes(names); !errors.As(err, &bad) || bad.Field != "scope" || !strings.Contains(bad.Allowed, "refunds:write") {
			t.Errorf("%q: %v, %v", names, got, err)
		}
	}
}

func TestPrincipalMayWhatItsScopesSayAndNoMore(t *testing.T) {
	t.Parallel()
	nobody := access.PrincipalOf(t.Context())
	reader := access.Principal{Producer: "shop", Scopes: []access.Scope{access.Read}}
	writer := access.Principal{Producer: "shop", Scopes: []access.Scope{access.RefundsWrite}}
	admin := access.Principal{Producer: "ops", Scopes: []access.Scope{access.Admin}}
	for _, scope := range access.Scopes() {
		if nobody.May(scope) || !admin.May(scope) || reader.May(scope) != (scope == access.Read) || writer.May(scope) != (scope == access.RefundsWrite) {
			t.Errorf("%s: nobody %t, admin %t, reader %t, writer %t", scope, nobody.May(scope), admin.May(scope), reader.May(scope), writer.May(scope))
		}
	}
	for _, c := range []struct {
		name      string
		who       access.Principal
		producer  string
		see, owns bool
	}{
		{"nobody", nobody, "", false, false},
		{"nobody sees a producer's", nobody, "shop", false, false},
		{"reader sees its own", reader, "shop", true, true},
		{"reader sees another's", reader, "mall", false, false},
		{"writer sees its own", writer, "shop", false, true},
		{"admin sees another's", admin, "shop", true, true},
	} {
		if c.who.MaySee(c.producer) != c.see || c.who.Owns(c.producer) != c.owns {
			t.Errorf("%s: sees %t, owns %t", c.name, c.who.MaySee(c.producer), c.who.Owns(c.producer))
		}
	}
	if err := nobody.Charge(1_000_000); err != nil {
		t.Errorf("nobody has no allowance to exceed: %v", err)
	}
	if got := access.PrincipalOf(access.WithPrincipal(t.Context(), reader)); got.Producer != "shop" {
		t.Errorf("in its context: %+v", got)
	}
}
