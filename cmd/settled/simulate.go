package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/settled-dev/settled/channel/simulate"
	"github.com/settled-dev/settled/channel/simulate/dialects"
	"github.com/settled-dev/settled/tasks"
)

type simulateCommand struct {
	Channel simulateChannelCommand `cmd:"" help:"Stand in for payment channels: take payments, send signed notices, pay refunds, misbehave."`
}

type simulateChannelCommand struct {
	Dir        string        `required:"" setting:"SETTLED_CHANNELS" placeholder:"DIR" help:"Where merchants' settings and keys are written for --channels of api and worker, and where the simulator keeps its own. It is made."`
	Notify     string        `setting:"SETTLED_NOTIFY" default:"http://127.0.0.1:8080" placeholder:"URL" help:"The API; notices go to /v1/notices/CHANNEL there (default ${default})."`
	Listen     string        `setting:"SETTLED_SIMULATOR_LISTEN" default:"127.0.0.1:8090" placeholder:"ADDRESS" help:"Where to serve channels and control; port 0 is a free one (default ${default}). Whoever reaches it may pay."`
	BaseURL    string        `name:"base-url" placeholder:"URL" help:"How merchants reach --listen, for their settings (default: by its address)."`
	Only       []string      `placeholder:"CHANNEL" help:"Simulate these channels only."`
	TimeScale  float64       `name:"time-scale" default:"1" placeholder:"X" help:"Divide the channels' pauses by this: 60 makes seconds of their minutes (default ${default})."`
	RefundTime time.Duration `name:"refund-time" default:"5m" placeholder:"DURATION" help:"How long a slow refund takes, before it is scaled (default ${default})."`
	Seed       uint64        `default:"1" placeholder:"N" help:"Decides whom faults hit (default ${default})."`
	LogLevel   string        `name:"log-level" setting:"SETTLED_LOG_LEVEL" default:"info" placeholder:"LEVEL" help:"debug, info, warn or error (default ${default})."`

	faultFlags
}

// faultFlags are the simulator's misbehaviour, each per mille.
type faultFlags struct {
	Duplicates     int `default:"0" placeholder:"N" help:"Of 1000 deliveries, how many go out twice at the same time (default ${default})."`
	Repeats        int `default:"0" placeholder:"N" help:"Of 1000 notices, how many come again after they were acknowledged (default ${default})."`
	Reorders       int `default:"0" placeholder:"N" help:"Of 1000 notices, how many are overtaken by a later one (default ${default})."`
	Delays         int `default:"0" placeholder:"N" help:"Of 1000 notices, how many are up to 5 minutes late, scaled (default ${default})."`
	Lost           int `default:"0" placeholder:"N" help:"Of 1000 payments, how many are told to nobody: all their notices are lost (default ${default})."`
	WrongAmounts   int `name:"wrong-amounts" default:"0" placeholder:"N" help:"Of 1000 payments, how many are a fen beside what was asked (default ${default})."`
	LostAnswers    int `name:"lost-answers" default:"0" placeholder:"N" help:"Of 1000 refunds, how many are taken without an answer (default ${default})."`
	HangingAnswers int `name:"hanging-answers" default:"0" placeholder:"N" help:"Of 1000 refunds, how many are taken and answered with nothing, until the merchant gives up or half a minute is over (default ${default})."`
	FailedRefunds  int `name:"failed-refunds" default:"0" placeholder:"N" help:"Of 1000 refunds, how many end as failed (default ${default})."`
	ClosedRefunds  int `name:"closed-refunds" default:"0" placeholder:"N" help:"Of 1000 refunds, how many end as failed for want of the merchant's money, which WeChat Pay calls CLOSED (default ${default})."`
	RevisedRefunds int `name:"revised-refunds" default:"0" placeholder:"N" help:"Of 1000 refunds, how many end as failed and are paid after all, --refund-time later (default ${default})."`
	SlowRefunds    int `name:"slow-refunds" default:"500" placeholder:"N" help:"Of 1000 refunds, how many are processing first (default ${default})."`
	Probes         int `default:"0" placeholder:"N" help:"Of 1000 deliveries, how many come after one with a wrong signature, as WeChat Pay does (default ${default})."`
}

// Help is shown below the command's summary.
func (simulateChannelCommand) Help() string {
	return `Each channel has keys of its own and speaks its real format: merchants verify its notices as they verify a real one's, and sign ` +
		`what they ask of it. What was answered survives SIGKILL: payments and refunds are on the disk in DIR/simulator before they are ` +
		`answered, and a new start sends what was not acknowledged. Example, in three terminals, with DATABASE_URL and REDIS_URL set:

    $ settled simulate channel --dir channels --time-scale 60
    $ settled api --channels channels
    $ settled worker --channels channels

To open a recharge order (the answer has its out_trade_no) and pay it:

    $ curl -H "Authorization: Bearer $SETTLED_API_KEY" -H 'Content-Type: application/json' http://127.0.0.1:8080/v1/recharge-orders \
      -d '{"recharge_id":"rc1","user_id":"u1","channel":"wechat","amount":"100.00"}'
    $ curl http://127.0.0.1:8090/pay -d '{"channel":"wechat","out_trade_no":"…","amount":"100.00"}'

Asked again for the same order, /pay returns the first payment; with "again":true it pays once more, and with "notify_url":"none" it ` +
		`tells nobody, as of an order whose news go to the shop; with "lost":true all its notices are lost. Also there:

    POST /order, /close     an order that waits for its payer; one that is not paid ends: merchants who ask about it are told so
    GET  /record            every payment and refund, a JSON object a line: compare the books with it
    POST /faults            {"duplicates":100} changes what is named, per mille
    POST /revise            {"channel":"wechat","refund_number":"…"} pays a refund that failed
    POST /rotate/CHANNEL    new keys; api and worker load them without a restart
    GET  /healthz           200

Every fault, by its flag or at any time, and new keys at once:

    $ curl http://127.0.0.1:8090/faults -d '{"duplicates":1000}'       # deliveries go out twice at once
    $ curl http://127.0.0.1:8090/faults -d '{"repeats":1000}'          # notices come again though they were acknowledged
    $ curl http://127.0.0.1:8090/faults -d '{"reorders":1000}'         # notices are overtaken by later ones
    $ curl http://127.0.0.1:8090/faults -d '{"delays":1000}'           # notices are up to 5 minutes late, scaled
    $ curl http://127.0.0.1:8090/faults -d '{"lost":1000}'             # payments are told to nobody
    $ curl http://127.0.0.1:8090/faults -d '{"wrong_amounts":1000}'    # payments are a fen beside what was asked
    $ curl http://127.0.0.1:8090/faults -d '{"lost_answers":1000}'     # refunds are taken, and the connection breaks
    $ curl http://127.0.0.1:8090/faults -d '{"hanging_answers":1000}'  # refunds are taken, and nothing is answered
    $ curl http://127.0.0.1:8090/faults -d '{"failed_refunds":1000}'   # refunds fail
    $ curl http://127.0.0.1:8090/faults -d '{"closed_refunds":1000}'   # refunds fail for want of money: WeChat Pay's CLOSED
    $ curl http://127.0.0.1:8090/faults -d '{"revised_refunds":1000}'  # refunds fail, and are paid after all
    $ curl http://127.0.0.1:8090/faults -d '{"slow_refunds":1000}'     # refunds are processing first
    $ curl http://127.0.0.1:8090/faults -d '{"probes":1000}'           # WeChat Pay's wrong signatures come before deliveries
    $ curl -X POST http://127.0.0.1:8090/rotate/wechat                 # new keys`
}

// Run simulates until ctx ends.
func (c *simulateChannelCommand) Run(ctx context.Context, p *Program) error {
	logger, err := processFlags{LogLevel: c.LogLevel, LogFormat: "text"}.logger(p)
	if err != nil {
		return err
	}
	if c.TimeScale == 0 { // which a simulator takes for its default
		return &usageError{problem: "--time-scale is 0; allowed: more than 0"}
	}
	kinds, err := simulatedKinds(c.Only)
	if err != nil {
		return err
	}
	h := &host{name: "simulator", logger: logger, clock: p.Clock}
	defer h.close()
	address, err := h.startSimulator(ctx, c.Listen, c.BaseURL, simulate.Config{Dir: c.Dir, NotifyURL: strings.TrimRight(c.Notify, "/") + noticesPath,
		Kinds: kinds, TimeScale: c.TimeScale, RefundTime: c.RefundTime, Faults: simulate.Faults(c.faultFlags), Seed: c.Seed})
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintf(p.Stdout, "simulating %s at %s\n"+
		"settings for merchants are in %s: settled api --channels %s, settled worker --channels %s\n"+
		"notices go to %s%s/CHANNEL\n"+
		"pay:     curl %s/pay -d '{\"channel\":%q,\"out_trade_no\":\"…\",\"amount\":\"100.00\"}'\n"+
		"record:  curl %s/record\n"+
		"ready; Ctrl-C ends it\n", kindNames(kinds), address, c.Dir, c.Dir, c.Dir, strings.TrimRight(c.Notify, "/"), noticesPath,
		address, kinds[0].Source, address); err != nil {
		return err
	}
	return h.run(ctx, nil)
}

// simulatorFlag is the flag that says where the simulator is served: a process that serves more calls it otherwise.
func (h *host) simulatorFlag() string {
	if h.apiEntrance != nil {
		return "--simulator-listen"
	}
	return "--listen"
}

// noticesPath is where the API takes notices, with the channel's name behind it.
const noticesPath = "/v1/notices"

// startSimulator adds simulated channels to the process, and returns where they are served. baseURL is how others reach that; empty:
// by its address.
func (h *host) startSimulator(ctx context.Context, address, baseURL string, config simulate.Config) (string, error) {
	listener, err := listen(ctx, h.simulatorFlag(), "SETTLED_SIMULATOR_LISTEN", address)
	if err != nil {
		return "", err
	}
	h.onClose(func() { _ = listener.Close() }) // serving has closed it, unless it never began
	served := "http://" + listener.Addr().String()
	if config.BaseURL = baseURL; baseURL == "" {
		if everywhere(listener.Addr()) {
			return "", &usageError{problem: fmt.Sprintf("%s or SETTLED_SIMULATOR_LISTEN is %s, every address of this machine: --base-url says by which "+
				"merchants reach it", h.simulatorFlag(), quoted(address))}
		}
		config.BaseURL = served
	}
	config.Clock, config.Logger = h.clock, h.logger
	simulator, err := simulate.Open(config)
	if bad := (*tasks.FieldError)(nil); errors.As(err, &bad) {
		return "", &usageError{problem: err.Error()}
	} else if err != nil {
		return "", err
	}
	h.simulator = simulator
	h.onClose(func() {
		if err := simulator.Close(); err != nil {
			h.logger.Error("close simulator", slog.Any("error", err))
		}
	})
	h.add("simulator's notices", simulator.Run)
	h.add("simulator", func(ctx context.Context) error { return serveHTTP(ctx, listener, simulator.Handler(), h.logger) })
	return served, nil
}

func everywhere(address net.Addr) bool {
	tcp, ok := address.(*net.TCPAddr)
	return ok && tcp.IP.IsUnspecified()
}

// simulatedKinds are the channels of these names; without names it is all of them.
func simulatedKinds(names []string) ([]simulate.Kind, error) {
	kinds := dialects.All()
	if len(names) == 0 {
		return kinds, nil
	}
	var chosen []simulate.Kind
	for _, name := range names {
		at := slices.IndexFunc(kinds, func(kind simulate.Kind) bool { return string(kind.Source) == name })
		if at < 0 {
			return nil, &usageError{problem: fmt.Sprintf("--only: %s is not simulated; allowed: %s", quoted(name), kindNames(kinds))}
		}
		if !slices.ContainsFunc(chosen, func(kind simulate.Kind) bool { return string(kind.Source) == name }) {
			chosen = append(chosen, kinds[at])
		}
	}
	return chosen, nil
}

func kindNames(kinds []simulate.Kind) string {
	var names []string
	for _, kind := range kinds {
		names = append(names, string(kind.Source))
	}
	return strings.Join(names, ", ")
}
