package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/settled-dev/settled/intake/access"
	"github.com/settled-dev/settled/internal/postgres"
	"github.com/settled-dev/settled/tasks"
)

type keyCommand struct {
	Create keyCreateCommand `cmd:"" help:"Make an API key for a producer, and print it once."`
	List   keyListCommand   `cmd:"" help:"List every API key, without its secret."`
	Revoke keyRevokeCommand `cmd:"" help:"End an API key for good."`
}

// openOwner opens the database as the user that its URL names. Keys are made and revoked by the owner of the tables: the serving
// processes may only read them.
func (f databaseFlags) openOwner(ctx context.Context, command string) (*pgxpool.Pool, error) {
	url, err := f.require()
	if err != nil {
		return nil, err
	}
	return postgres.OpenOwner(ctx, url, postgres.MaxConns(2), postgres.ApplicationName("settled "+command))
}

type keyCreateCommand struct {
	databaseFlags
	operatorFlags

	Producer string   `required:"" placeholder:"NAME" help:"Who will ask by the key; it is stored with each of their requests."`
	Scope    []string `required:"" placeholder:"SCOPE" help:"What the key may do; give it once for each scope, or several with commas."`
	Label    string   `placeholder:"TEXT" help:"What the key is for, for people."`
}

// Help is shown below the command's summary.
func (keyCreateCommand) Help() string {
	return `The key goes to standard output, and what is stored of it to standard error. It cannot be shown again: only a hash of it is ` +
		`kept. Example:

    $ settled key create --producer shop --scope refunds:write --scope read --label "order system" --by ada
    key 9f2c61d07be4a835 of shop: refunds:write, read; order system
    sk_9f2c61d07be4a835_3vQ0bHq1kF5w4m2JtP8xZr6yLs9dNc7gUa0eTi1oWhY
    $ KEY=$(settled key create --producer shop --scope payments:write,refunds:write,read)

The scopes: payments:write, refunds:write, recharges:write, rewards:write, transfers:write and wealth:write each ask for requests of ` +
		`one sort; webhooks:write keeps the webhook endpoints of this producer; read looks up its requests, recharge orders and endpoints, ` +
		`and all users and orders, which producers share; admin does all of it, for every producer, decides cases, and asks for sweeps.

DATABASE_URL must name the user that migrates: the one that serves may not make keys. To replace a key, create another, hand it out, ` +
		`and revoke the old one.`
}

// Run makes the key.
func (c *keyCreateCommand) Run(ctx context.Context, p *Program) error {
	scopes, err := access.ParseScopes(c.Scope)
	if err != nil {
		return wrongFlag(err)
	}
	if err := tasks.CheckProducer(c.Producer); err != nil {
		return wrongFlag(err)
	}
	pool, err := c.openOwner(ctx, "key")
	if err != nil {
		return err
	}
	defer pool.Close()
	key, token, err := access.Create(ctx, pool, access.NewKey{Producer: c.Producer, Scopes: scopes, Label: c.Label, By: c.By})
	if err != nil {
		return wrongFlag(err)
	}
	told := fmt.Sprintf("key %s of %s: %s", key.ID, key.Producer, scopeNames(key.Scopes))
	if key.Label != "" {
		told += "; " + key.Label
	}
	fmt.Fprintln(p.Stderr, told)
	_, err = fmt.Fprintln(p.Stdout, token.Reveal())
	return err
}

// wrongFlag names the flag whose value was refused; other errors stay as they are.
func wrongFlag(err error) error {
	if bad := (*tasks.FieldError)(nil); errors.As(err, &bad) {
		return &usageError{problem: "--" + bad.Error()}
	}
	return err
}

func scopeNames(scopes []access.Scope) string {
	names := make([]string, len(scopes))
	for i, scope := range scopes {
		names[i] = string(scope)
	}
	return strings.Join(names, ", ")
}

type keyListCommand struct {
	databaseFlags

	JSON bool `name:"json" help:"Print JSON."`
}

// Help is shown below the command's summary.
func (keyListCommand) Help() string {
	return `Every key that was ever made, the oldest first; revoked ones stay listed. Example:

    $ settled key list
    key               producer  scopes               created                  by   revoked                  by   label
    9f2c61d07be4a835  shop      refunds:write, read  2026-01-02 12:00:00.480  ada                                order system

By --json: [{"id", "producer", "scopes", "label", "created_at", "created_by", "revoked_at", "revoked_by"}].`
}

// Run lists the keys.
func (c *keyListCommand) Run(ctx context.Context, p *Program) error {
	pool, err := c.openPool(ctx, "key")
	if err != nil {
		return err
	}
	defer pool.Close()
	keys, err := access.List(ctx, pool)
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(p.Stdout, keys)
	}
	if len(keys) == 0 {
		fmt.Fprintln(p.Stdout, "there are no keys: nobody can use the API")
		return nil
	}
	text := table{columns: []column{left("key"), left("producer"), left("scopes"), left("created"), left("by"), left("revoked"), left("by"),
		left("label")}}
	for _, key := range keys {
		revoked := ""
		if key.RevokedAt != nil {
			revoked = local(*key.RevokedAt)
		}
		text.add(key.ID, key.Producer, scopeNames(key.Scopes), local(key.CreatedAt), key.CreatedBy, revoked, key.RevokedBy, key.Label)
	}
	text.print(p.Stdout, "")
	return nil
}

type keyRevokeCommand struct {
	databaseFlags
	operatorFlags

	ID string `arg:"" help:"The key's name, as listed: 16 hex digits."`
}

// Help is shown below the command's summary.
func (keyRevokeCommand) Help() string {
	return fmt.Sprintf(`Every process that reaches PostgreSQL refuses the key within %s. Its requests that were accepted stay accepted. `+
		`Twice, the first time counts. Example:

    $ settled key revoke 9f2c61d07be4a835 --by ada
    key 9f2c61d07be4a835 of shop was revoked at 2026-01-02 12:00:00.480 by ada

Exit code 1: there is no such key.`, access.Fresh)
}

// Run revokes the key.
func (c *keyRevokeCommand) Run(ctx context.Context, p *Program) error {
	pool, err := c.openOwner(ctx, "key")
	if err != nil {
		return err
	}
	defer pool.Close()
	key, err := access.Revoke(ctx, pool, c.ID, c.By)
	if errors.Is(err, access.ErrNoKey) {
		return &answerNoError{answer: "there is no such key; `settled key list` lists them"} // it may be a whole token: not repeated
	}
	if err != nil {
		return wrongFlag(err)
	}
	fmt.Fprintf(p.Stdout, "key %s of %s was revoked at %s by %s\n", key.ID, key.Producer, local(*key.RevokedAt), key.RevokedBy)
	return nil
}

// devProducer is the producer of the key that `settled dev` makes.
const devProducer = "dev"

// createDevKey makes an admin key for trying things on the database at url.
func createDevKey(ctx context.Context, url string) (access.Token, error) {
	pool, err := postgres.OpenOwner(ctx, url, postgres.MaxConns(1), postgres.ApplicationName("settled dev"))
	if err != nil {
		return access.Token{}, err
	}
	defer pool.Close()
	_, token, err := access.Create(ctx, pool, access.NewKey{Producer: devProducer, Scopes: []access.Scope{access.Admin},
		Label: "settled dev", By: devProducer})
	return token, err
}

// revokeDevKey ends a dev's key in a database that outlives it.
func revokeDevKey(ctx context.Context, url string, token access.Token) error {
	pool, err := postgres.OpenOwner(ctx, url, postgres.MaxConns(1), postgres.ApplicationName("settled dev"))
	if err != nil {
		return err
	}
	defer pool.Close()
	_, err = access.Revoke(ctx, pool, token.ID(), devProducer)
	return err
}
