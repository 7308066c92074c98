package main

import "github.com/alecthomas/kong"

const description = `Applies refunds, recharges and idle-balance sweeps to a wallet's books: exactly once, fast, and provably.

To try it, run "settled dev" and do in another terminal what it prints. Every command says by --help what it does, shows an ` +
	`example, and names its settings.

Exit codes: 0 all is well; 1 the answer is no (refused, conflict, broken invariant, not found); 2 the command line or a setting ` +
	`is wrong; 3 a server is away or failed, try again; 130 interrupted.`

var groups = []kong.Group{
	{Key: "try", Title: "Try it:"},
	{Key: "serve", Title: "Serve:"},
	{Key: "ask", Title: "Ask:"},
	{Key: "look", Title: "Look:"},
	{Key: "mend", Title: "Mend:"},
}

// commands is the command line.
type commands struct {
	Version kong.VersionFlag `help:"Print the version."`

	Dev      devCommand      `cmd:"" group:"try" help:"Run the whole system on a private local stack, or a command with that stack."`
	Demo     demoCommand     `cmd:"" group:"try" help:"Tell one user's story, play a day at scale with crashes, and judge the books."`
	Simulate simulateCommand `cmd:"" group:"try" help:"Stand in for payment channels, with their real formats, on request badly."`
	Drill    drillCommand    `cmd:"" group:"try" help:"Break a running system on purpose, and count what came of it."`
	Bench    benchCommand    `cmd:"" group:"try" help:"Measure settled beside what its parts can do."`

	Migrate     migrateCommand     `cmd:"" group:"serve" help:"Create or upgrade the books' tables in PostgreSQL."`
	API         apiCommand         `cmd:"" name:"api" group:"serve" help:"Serve the HTTP API: accept requests, look them up."`
	Key         keyCommand         `cmd:"" group:"serve" help:"Make, list and revoke the API keys of producers."`
	Webhook     webhookCommand     `cmd:"" group:"serve" help:"Make, list and mend the endpoints at which producers are told."`
	Worker      workerCommand      `cmd:"" group:"serve" help:"Apply accepted requests to the books."`
	Scheduler   schedulerCommand   `cmd:"" group:"serve" help:"Ask for the nightly work when it is due; audit the books."`
	Healthcheck healthcheckCommand `cmd:"" group:"serve" help:"Ask a URL for 200, for containers without curl."`

	Request requestCommand `cmd:"" group:"ask" help:"Accept requests from JSON lines."`

	Show      showCommand      `cmd:"" group:"look" help:"Show one request: payload, outcome, transfers, on one timeline."`
	Balance   balanceCommand   `cmd:"" group:"look" help:"Show a user's balances, now or at a time."`
	Statement statementCommand `cmd:"" group:"look" help:"List what moved on a user's accounts, with running balances."`
	Audit     auditCommand     `cmd:"" group:"look" help:"Check every invariant of the books, and name the first bad row."`

	Dead    deadCommand    `cmd:"" group:"mend" help:"List the requests that wait for a person."`
	Requeue requeueCommand `cmd:"" group:"mend" help:"Let a dead request run again."`
	Inquire inquireCommand `cmd:"" group:"mend" help:"Have channels asked at once whether recharge orders are paid."`
	Case    caseCommand    `cmd:"" group:"mend" help:"List and decide the cases: money that waits for a person."`
	Policy  policyCommand  `cmd:"" group:"mend" help:"Print the business settings, or set new ones."`
}
