package intake

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"reflect"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/settled-dev/settled/intake/access"
	"github.com/settled-dev/settled/intake/recharge"
	"github.com/settled-dev/settled/intake/reference"
	"github.com/settled-dev/settled/internal/clock"
	"github.com/settled-dev/settled/internal/postgres"
	"github.com/settled-dev/settled/ledger"
	"github.com/settled-dev/settled/tasks"
	"github.com/settled-dev/settled/webhook"
)

// answerTimeout bounds what a producer waits for. An answer takes milliseconds; longer means that PostgreSQL is away, and the producer had
// better ask again than hold its connection. A single acceptance is bounded by the client itself, as cheaply as its number asks for.
const answerTimeout = 10 * time.Second

// Headroom is what a process that serves the API had better reserve, in bytes.
const Headroom = 32 << 20

// Config configures an API.
type Config struct {
	// Client accepts requests. Required; the caller closes it after the API's server has stopped.
	Client *tasks.Client
	// Reader looks requests and balances up. Required.
	Reader *ledger.Reader
	// Recharges keeps recharge orders. Required.
	Recharges *recharge.Orders
	// Notices takes channels' notices, at POST /v1/notices/{channel}; a notice.Handler. Defaults to none.
	Notices http.Handler
	// Webhooks keeps the endpoints at which producers are told. Defaults to none: they have no routes.
	Webhooks *webhook.Registry
	// Access lets calls in by their API keys. Required: there is no API without keys.
	Access *access.Guard
	// Registerer takes the API's metrics. Defaults to none.
	Registerer prometheus.Registerer
	// Logger is told of failures that a person must look at. Defaults to nobody.
	Logger *slog.Logger
	// Clock measures durations, and waits. Defaults to the system's.
	Clock clock.Timer
	// HeadroomBytes is memory that the API reserves and never writes, so that garbage gathers longer: Headroom, or none. It occupies
	// addresses only, and counts against GOMEMLIMIT (docs/adr/0015).
	HeadroomBytes int
	// Version is shown in the API's description. Defaults to "devel".
	Version string
}

// API serves the routes that the package's comment lists.
type API struct {
	config  Config
	metrics *metrics
	mux     *http.ServeMux
	accepts map[string]http.HandlerFunc // by path: the busiest routes, which need no matching

	watch     *outcomeWatch
	lists     *listRoom
	accepting chan struct{} // one for each list that is being accepted
	draining  chan struct{} // closed by Drain
	drain     sync.Once
	headroom  []byte // never read or written, see Config.HeadroomBytes
}

// NewAPI makes an API. It holds nothing that must be closed.
func NewAPI(config Config) *API {
	if config.Logger == nil {
		config.Logger = slog.New(slog.DiscardHandler)
	}
	if config.Clock == nil {
		config.Clock = clock.System
	}
	if config.Version == "" {
		config.Version = "devel"
	}
	a := &API{config: config, metrics: newMetrics(config.Registerer), mux: http.NewServeMux(), accepts: map[string]http.HandlerFunc{},
		watch: newOutcomeWatch(config.Reader, config.Clock), lists: newListRoom(),
		accepting: make(chan struct{}, listsAtOnce), draining: make(chan struct{}), headroom: make([]byte, config.HeadroomBytes)}
	described := huma.DefaultConfig("settled", config.Version)
	described.Info.Description = "Applies refunds, recharges and idle-balance sweeps to a wallet's books, exactly once. " +
		"Amounts are strings in yuan with at most two places; times are RFC 3339."
	// The bodies are settled's own, without links to schemas; the page that huma would serve loads scripts from elsewhere.
	described.CreateHooks, described.SchemasPath, described.DocsPath = nil, "", ""
	routes := humago.New(a.mux, described)
	describeKeys(routes.OpenAPI())
	routes.UseMiddleware(a.guard, a.refuseQuery)
	a.registerAccept(routes)
	a.registerBulk(routes)
	a.registerRechargeOrders(routes)
	a.registerLookups(routes)
	a.registerOutstanding(routes)
	a.registerCases(routes)
	a.registerOrders(routes)
	a.registerPreview(routes)
	a.registerStatement(routes)
	a.registerNotices(routes)
	a.registerWebhookEndpoints(routes)
	describePathIDs(routes.OpenAPI())
	for _, unused := range []string{"ErrorModel", "ErrorDetail"} { // huma adds its own form of a refusal to every description
		delete(routes.OpenAPI().Components.Schemas.Map(), unused)
	}
	reference.NewPage(routes.OpenAPI()).Register(a.mux)
	a.mux.HandleFunc("/", a.noRoute)
	return a
}

// ServeHTTP implements http.Handler.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	setHeaders(w, r)
	if accept := a.accepts[r.URL.Path]; accept != nil && r.Method == http.MethodPost && r.URL.RawPath == "" {
		accept(w, r)
		return
	}
	a.mux.ServeHTTP(w, r)
}

// setHeaders sets those of every answer.
func setHeaders(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	if len(r.TransferEncoding) > 0 {
		// net/http hides whether a length stood beside it. A connection on which one did must end (RFC 9112, 6.1): what a proxy took for
		// the call's end may have been another place.
		w.Header().Set("Connection", "close")
	}
}

// BusiestPaths are the paths at which single requests are accepted: what is asked there is answered after one insert, unless the call
// prefers to wait. A server may serve them by themselves.
func BusiestPaths() []string {
	var paths []string
	for _, kind := range tasks.Kinds() {
		if !kind.Internal() {
			paths = append(paths, acceptPath(kind))
		}
	}
	return paths
}

func acceptPath(kind tasks.Kind) string { return "/v1/requests/" + string(kind) }

// Drain lets long calls end: streams take no more lines, and nobody waits for an outcome. Call it when the API's server begins to
// end. It may be called twice.
func (a *API) Drain() { a.drain.Do(func() { close(a.draining) }) }

// failure answers for an error that is neither the producer's fault nor an outcome. unknown says what is not known now.
func (a *API) failure(ctx context.Context, err error, unknown string) *Problem {
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, tasks.ErrClientClosed), errors.Is(err, errDraining), errors.Is(err, errLeft):
		// the producer left, or this process does
		return unavailable("the request was given up; " + unknown)
	case postgres.IsConnection(err), errors.Is(err, context.DeadlineExceeded):
		a.config.Logger.WarnContext(ctx, "books did not answer", slog.Any("error", err))
		return unavailable("PostgreSQL did not answer; " + unknown)
	default:
		a.config.Logger.ErrorContext(ctx, "request failed", slog.Any("error", err))
		return internal("the cause is in the server's log; " + unknown)
	}
}

// refusals say what a status means of which a call is refused.
var refusals = map[string]string{
	"400": "The body ended before it was complete",
	"401": "No valid API key",
	"403": "The API key has not the scope",
	"404": "Not there, or another producer's",
	"409": "The key was used before with other content, or by another producer; or the state does not allow it",
	"413": "The body is too large",
	"415": "The body is not declared as one of the media types, or is encoded",
	"422": "A field or parameter is not allowed; it is named",
	"429": "The API key asks for too much at once; Retry-After says when to come back",
	"500": "Something is wrong here, the cause is in the server's log; ask again, with the same keys",
	"503": "PostgreSQL did not answer, or this process is busy; ask again, with the same keys",
}

// problemResponses describes the refusals of an operation, those of its key, and that something may be wrong here.
func problemResponses(registry huma.Registry, statuses ...string) map[string]*huma.Response {
	schema := schemaOf(registry, reflect.TypeFor[Problem]())
	responses := map[string]*huma.Response{}
	for _, status := range append(statuses, "401", "403", "429", "500") {
		responses[status] = &huma.Response{
			Description: refusals[status],
			Content:     map[string]*huma.MediaType{"application/problem+json": {Schema: schema}},
			Headers:     refusalHeaders(status),
		}
	}
	return responses
}

// refusalHeaders describes what a refusal tells beside its problem.
func refusalHeaders(status string) map[string]*huma.Param {
	switch status {
	case "401", "403":
		return map[string]*huma.Param{"WWW-Authenticate": {Description: "How a key is sent, and the scope that it lacks.",
			Schema: &huma.Schema{Type: huma.TypeString}}}
	case "429", "503":
		return map[string]*huma.Param{"Retry-After": {Description: "Seconds until it is worth asking again.",
			Schema: &huma.Schema{Type: huma.TypeInteger}}}
	default:
		return nil
	}
}

// schemaOf refers to the schema of a struct, which the description holds once.
func schemaOf(registry huma.Registry, shape reflect.Type) *huma.Schema {
	return registry.Schema(shape, true, shape.Name())
}
