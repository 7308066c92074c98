package tidy

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// rooms says which other rooms a room may import; its own packages it always may.
// Imports point down, so that a business rule never learns how it is served.
var rooms = map[string]struct {
	may    []string
	reason string
}{
	"cmd": {
		[]string{
			"intake", "worker", "scheduler", "console", "webhook", "wallet", "refund", "wealth", "settlement", "channel",
			"ledger", "tasks", "money", "internal", "internal/rules", "internal/bench", "internal/demo", "internal/drill",
		},
		"the binary wires the rooms together",
	},
	"internal/rules": {
		[]string{"wallet", "refund", "wealth", "channel", "ledger", "tasks", "money", "internal"},
		"one list of all rules, for the processes that apply them",
	},
	"internal/bench": {
		[]string{"intake", "worker", "channel", "ledger", "tasks", "money", "internal", "internal/rules"},
		"it measures the parts as the binary wires them",
	},
	"internal/demo": {
		[]string{"intake", "worker", "wallet", "refund", "wealth", "channel", "ledger", "tasks", "money", "internal", "internal/rules"},
		"it plays a producer, and judges the books from outside",
	},
	"internal/drill": {
		[]string{"worker", "channel", "ledger", "tasks", "money", "internal"},
		"it plays a producer, and breaks what it is let near",
	},
	"internal/proof": {
		[]string{
			"cmd", "intake", "worker", "scheduler", "webhook", "wallet", "refund", "wealth", "channel", "ledger", "tasks", "money",
			"internal", "internal/rules",
		},
		"its tests run the whole system",
	},
	"ledger/ledgertest": {
		[]string{"ledger", "tasks", "money", "internal", "internal/rules"},
		"it gives tests of any room a ledger with every rule",
	},
	"channel/channeltest": {
		[]string{"channel", "tasks", "money", "internal"},
		"it is for tests of the channels alone, and no channel may be built on it",
	},
	"intake": {
		append(slices.Clone(belowTheDoors), "webhook"),
		"a front door verifies and accepts; doors do not call each other, but producers keep their webhook endpoints over HTTP",
	},
	"worker":     {belowTheDoors, "the worker carries requests to the rules; it does not know who asked"},
	"scheduler":  {belowTheDoors, "the scheduler asks for work as any producer does"},
	"webhook":    {belowTheDoors, "it tells producers what became of their requests; it decides nothing"},
	"console":    {belowTheDoors, "the console reads what the rooms below it store"},
	"wallet":     {belowTheRules, "a business's rules do not depend on another's; what they share is the ledger's"},
	"refund":     {belowTheRules, "a business's rules do not depend on another's; what they share is the ledger's"},
	"wealth":     {belowTheRules, "a business's rules do not depend on another's; what they share is the ledger's"},
	"settlement": {belowTheRules, "a business's rules do not depend on another's; what they share is the ledger's"},
	"channel":    {belowTheRules, "a channel translates; it knows neither queue nor other businesses"},
	"ledger":     {[]string{"tasks", "money", "internal"}, "the books apply rules that are given to them, and know none"},
	"tasks":      {[]string{"money", "internal"}, "producers import tasks, and must not pull in the system behind it"},
	"money":      {nil, "amounts depend on nothing of ours, so that everything may depend on them"},
	"internal":   {nil, "plumbing knows no room, so that every room may use it"},
	"examples":   {nil, "they use the program from outside, as anybody would"},
	"dashboards": {
		[]string{
			"cmd", "intake", "worker", "scheduler", "console", "webhook", "wallet", "refund", "wealth", "settlement", "channel",
			"ledger", "tasks", "money", "internal", "internal/rules",
		},
		"its tests compare the dashboards with every room's metrics",
	},
}

var (
	belowTheDoors = []string{
		"wallet", "refund", "wealth", "settlement", "channel", "ledger", "tasks", "money", "internal",
	}
	belowTheRules = []string{"ledger", "tasks", "money", "internal"}
)

// libraries says where a third-party module may be imported. One that is not
// listed may appear anywhere; one that is listed twice, where either allows it.
var libraries = []struct {
	module    string
	dirs      []string
	testsOnly bool
	reason    string
}{
	{
		"github.com/shopspring/decimal",
		[]string{"money"},
		false,
		"elsewhere an amount is a money.Amount: one form per value, and rounding in one place",
	},
	{
		"github.com/pressly/goose/v3",
		[]string{"internal/postgres"},
		false,
		"migrations are run through internal/postgres, which also sets up the service's role",
	},
	{
		"github.com/alecthomas/kong",
		[]string{"cmd"},
		false,
		"flags and environment are the binary's; a room is given its settings",
	},
	{
		"github.com/alicebob/miniredis/v2",
		[]string{"internal/devstack"},
		false,
		"an imitation of Redis serves the demo only; tests use a real one",
	},
	{
		"github.com/compose-spec/compose-go/v2",
		[]string{"internal/tidy"},
		true,
		"it checks docker-compose.yml and is no part of the program",
	},
	{
		"github.com/wechatpay-apiv3/wechatpay-go",
		[]string{"channel"},
		true,
		"the vendor's SDK is what our verifier is compared with, not what we run",
	},
	{
		"github.com/standard-webhooks/standard-webhooks/libraries",
		[]string{"webhook", "cmd"},
		true,
		"the specification's own library is what our signatures are verified by, not what we sign with",
	},
	{
		"github.com/standard-webhooks/standard-webhooks/libraries",
		[]string{"internal/drill"},
		false,
		"the drill verifies what its producer is told, as producers do",
	},
	{
		"github.com/smartwalle/alipay/v3",
		[]string{"channel"},
		true,
		"a library is what our verifier and our simulated gateway are compared with, not what we run",
	},
	{
		"github.com/emmansun/gmsm",
		[]string{"channel/ecny"},
		false,
		"SM2 is what one channel signs with, and no other part needs it",
	},
	{
		"github.com/go-pay/crypto",
		[]string{"channel/ecny"},
		true,
		"it is what our SM2 is compared with, not what we run",
	},
	{
		"github.com/stretchr/testify", nil, true,
		"its Equal compares by reflection; plain if and go-cmp use a type's own Equal",
	},
}

func TestImportsPointDown(t *testing.T) {
	t.Parallel()
	report(t, checkImports(mustRepository(t).sources))
}

func checkImports(sources []source) []string {
	var findings []string
	for _, s := range sources {
		if _, known := rooms[s.room()]; !known {
			findings = append(findings, fmt.Sprintf(
				"%s: %q is no room of the project; put the file in one, or add the room to the table with its reason",
				s.path, s.room()))
			continue
		}
		for _, spec := range s.file.Imports {
			imported := importPath(spec)
			problem := checkRoom(s, imported)
			if problem == "" {
				problem = checkLibrary(s, imported)
			}
			if problem == "" && spec.Name != nil && spec.Name.Name == "." {
				problem = "dot import: a reader, and the checks of banned calls, must see where a name is from"
			}
			if problem != "" {
				findings = append(findings, s.at(spec.Pos(), "%s", problem))
			}
		}
	}
	return findings
}

func checkRoom(s source, imported string) string {
	dir, ours := strings.CutPrefix(imported, modulePath+"/")
	if !ours {
		return ""
	}
	from, to := s.room(), roomOf(dir)
	if s.isTest() && (to == "ledger/ledgertest" || to == "internal/rules") && from != "money" {
		return ""
	}
	if s.isTest() && to == "channel/channeltest" && from == "channel" {
		return ""
	}
	if from == to || slices.Contains(rooms[from].may, to) {
		return ""
	}
	may := strings.Join(rooms[from].may, ", ")
	if may == "" {
		may = "no other room"
	}
	return fmt.Sprintf("%s may not import %s (it may import: %s): %s", from, dir, may, rooms[from].reason)
}

func checkLibrary(s source, imported string) string {
	problem := ""
	for _, library := range libraries {
		if imported != library.module && !strings.HasPrefix(imported, library.module+"/") {
			continue
		}
		if s.isUnder(library.dirs...) && (s.isTest() || !library.testsOnly) {
			return ""
		}
		where := "nowhere"
		if len(library.dirs) > 0 {
			where = strings.Join(library.dirs, ", ")
		}
		if library.testsOnly && len(library.dirs) > 0 {
			where += " (tests only)"
		}
		problem = cmp.Or(problem, fmt.Sprintf("%s may be imported in: %s. %s", library.module, where, library.reason))
	}
	return problem
}

func TestPlantedImportsAreFound(t *testing.T) {
	t.Parallel()
	file := func(imports ...string) string {
		return "package p\nimport (\n" + strings.Join(imports, "\n") + "\n)\n"
	}
	ours := func(dir string) string { return `"` + modulePath + "/" + dir + `"` }
	seen(t, checkImports, []planted{
		{"a binary imports a door", "cmd/settled/api.go", file(ours("intake"), ours("internal/clock")), ""},
		{"a room imports its own package", "channel/wechat/notice.go", file(ours("channel")), ""},
		{"a rule imports the ledger", "refund/rule.go", file(ours("ledger"), ours("money")), ""},
		{"plumbing imports plumbing", "internal/postgres/pgtest/database.go", file(ours("internal/devstack")), ""},
		{"amounts import plumbing", "money/amount.go", file(ours("internal/clock")), "money may not import internal/clock"},
		{"the ledger imports a rule", "ledger/lane.go", file(ours("refund")), "ledger may not import refund"},
		{"its test does too", "ledger/lane_test.go", file(ours("refund")), "ledger may not import refund"},
		{"a channel is built on what tests share", "channel/wechat/key.go", file(ours("channel/channeltest")), "channel may not import channel/channeltest"},
		{"a channel's test uses it", "channel/wechat/key_test.go", file(ours("channel/channeltest")), ""},
		{"another room's does", "intake/notice/notice_test.go", file(ours("channel/channeltest")), "intake may not import channel/channeltest"},
		{"a rule imports another", "refund/rule.go", file(ours("wallet")), "refund may not import wallet"},
		{"a door imports another", "worker/handler.go", file(ours("intake")), "worker may not import intake"},
		{"the API keeps webhook endpoints", "intake/webhook_endpoint.go", file(ours("webhook")), ""},
		{"webhooks know the API", "webhook/endpoint.go", file(ours("intake")), "webhook may not import intake"},
		{"tasks import the ledger", "tasks/client.go", file(ours("ledger")), "must not pull in the system"},
		{"plumbing imports a room", "internal/postgres/pool.go", file(ours("tasks")), "internal may not import tasks"},
		{"anything imports the binary", "console/page.go", file(ours("cmd/settled")), "console may not import cmd/settled"},
		{"a room nobody knows", "helpers/helpers.go", file(), "is no room of the project"},
		{"a file at the top", "settled.go", file(), "is no room of the project"},

		{"amounts import decimal", "money/rate.go", file(`"github.com/shopspring/decimal"`), ""},
		{"a name with the same beginning", "wealth/y.go", file(`"github.com/shopspring/decimalist"`), ""},
		{"a rule imports decimal", "wealth/yield.go", file(`"github.com/shopspring/decimal"`), "may be imported in: money."},
		{"a rule's test imports decimal", "wealth/yield_test.go", file(`d "github.com/shopspring/decimal"`), "may be imported in: money."},
		{"a room runs migrations", "ledger/schema.go", file(`"github.com/pressly/goose/v3/database"`), "may be imported in: internal/postgres."},
		{"a room reads flags", "worker/options.go", file(`"github.com/alecthomas/kong"`), "may be imported in: cmd."},
		{"a test imitates Redis", "worker/worker_test.go", file(`"github.com/alicebob/miniredis/v2"`), "may be imported in: internal/devstack."},
		{"the program needs an SDK", "channel/wechat/notice.go", file(`"github.com/wechatpay-apiv3/wechatpay-go/core"`), "channel (tests only)"},
		{"a test compares with an SDK", "channel/wechat/notice_test.go", file(`"github.com/wechatpay-apiv3/wechatpay-go/core"`), ""},
		{"a channel signs by SM2", "channel/ecny/ecnysim/key.go", file(`"github.com/emmansun/gmsm/sm2"`), ""},
		{"another channel does", "channel/wechat/key.go", file(`"github.com/emmansun/gmsm/sm2"`), "may be imported in: channel/ecny."},
		{"a webhook verifies itself", "webhook/attempt.go", file(`"github.com/standard-webhooks/standard-webhooks/libraries/go"`), "webhook, cmd (tests only)"},
		{"the drill verifies webhooks", "internal/drill/inbox.go", file(`"github.com/standard-webhooks/standard-webhooks/libraries/go"`), ""},
		{"the second SM2 is run", "channel/ecny/key.go", file(`"github.com/go-pay/crypto/sm2"`), "channel/ecny (tests only)"},
		{"testify", "ledger/lane_test.go", file(`"github.com/stretchr/testify/require"`), "may be imported in: nowhere."},
		{"a dot import", "ledger/lane.go", file(`. "time"`), "dot import"},
	})
}
