package main

import (
	"reflect"
	"strings"
	"testing"

	"github.com/settled-dev/settled/intake/access"
	"github.com/settled-dev/settled/ledger"
	"github.com/settled-dev/settled/webhook"
)

func TestHelpNamesEveryFieldOfItsJSON(t *testing.T) {
	t.Parallel()
	for command, printed := range map[string]reflect.Type{
		"webhook list":     reflect.TypeFor[webhook.Endpoint](),
		"webhook messages": reflect.TypeFor[webhook.Sent](),
		"key list":         reflect.TypeFor[access.Key](),
		"case list":        reflect.TypeFor[ledger.CaseRecord](),
		"dead":             reflect.TypeFor[ledger.DeadLetter](),
		"statement":        reflect.TypeFor[ledger.Entry](),
		"audit":            reflect.TypeFor[ledger.Check](),
	} {
		help := call{}.run(t, append(strings.Fields(command), "--help")...).stdout
		for i := range printed.NumField() {
			name, _, _ := strings.Cut(printed.Field(i).Tag.Get("json"), ",")
			if name != "-" && !strings.Contains(help, `"`+name+`"`) {
				t.Errorf("settled %s --help does not name %q, which --json prints", command, name)
			}
		}
	}
}
