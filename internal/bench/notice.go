package bench

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/settled-dev/settled/channel"
	"github.com/settled-dev/settled/channel/simulate"
	"github.com/settled-dev/settled/channel/wechat"
	"github.com/settled-dev/settled/channel/wechat/wechatsim"
	"github.com/settled-dev/settled/intake/notice"
	"github.com/settled-dev/settled/intake/recharge"
	"github.com/settled-dev/settled/money"
	"github.com/settled-dev/settled/tasks"
)

// noticesARound is how many payments a round of notice tells: a second's work.
const noticesARound = 10_000

// notices measures the door of the channels, beside the two things that it cannot do without.
func (r *run) notices(ctx context.Context) error {
	return r.inEnvironment(ctx, func(e *environment) error {
		c, err := openCashDesk(e)
		if err != nil {
			return err
		}
		bare := &Row{Name: "bare_notice", Work: fmt.Sprintf("RSA alone: as many signatures of WeChat Pay verified, and the same requests "+
			"accepted by the Go client, %d at a time", producers)}
		row := &Row{Name: "notice", Target: ">= 0.5 bare_notice", Work: fmt.Sprintf("payments that WeChat Pay notifies, %d at a time: "+
			"verified, decrypted, matched with their recharge orders, committed, acknowledged, rung", producers)}
		for round := range r.Rounds {
			r.say("round %d", round+1)
			for _, m := range []struct {
				row  *Row
				take func(context.Context, *tasks.Client, []paidOrder) error
			}{{bare, c.takeBare}, {row, c.take}} {
				paid, err := c.payOrders(ctx, r.size(noticesARound))
				if err != nil {
					return err
				}
				if err := r.round(m.row, func() (sample, error) { return c.measure(ctx, paid, m.take) }); err != nil {
					return err
				}
				if err := settlePending(ctx, e); err != nil {
					return err
				}
				if err := e.settleTables(ctx); err != nil {
					return err
				}
			}
		}
		row.against("bare_notice", bare)
		row.judge(row.VS["bare_notice"] >= 0.5)
		r.add(bare, row)
		return nil
	})
}

// cashDesk is a WeChat Pay of the bench's own and what it knows of the merchant.
type cashDesk struct {
	env    *environment
	orders *recharge.Orders
	sim    *wechatsim.Channel
	port   *wechat.Channel
	key    *rsa.PublicKey // with which the notices are signed
	opened int
}

// paidOrder is a recharge order that a payer has paid, as the channel tells it and as it is to be accepted.
type paidOrder struct {
	message simulate.Message
	payload tasks.Payload
}

func openCashDesk(e *environment) (*cashDesk, error) {
	c := &cashDesk{env: e, orders: recharge.NewOrders(e.pool, e.books, benchClock)}
	var err error
	if c.sim, err = wechatsim.New(benchClock); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "settled-bench-")
	if err != nil {
		return nil, fmt.Errorf("make a directory for keys: %w", err)
	}
	defer func() { _ = os.RemoveAll(dir) }() // keys of a channel that ends with the run
	settings, err := c.sim.MerchantSettings(dir, "http://127.0.0.1:1")
	if err != nil {
		return nil, err
	}
	if c.port, err = wechat.Load(dir, settings, http.DefaultClient); err != nil {
		return nil, err
	}
	c.key, err = readPublicKey(dir)
	return c, err
}

// readPublicKey reads the one public key among a merchant's files.
func readPublicKey(dir string) (*rsa.PublicKey, error) {
	files, err := filepath.Glob(filepath.Join(dir, "pub_key_*.pem"))
	if err != nil || len(files) != 1 {
		return nil, fmt.Errorf("%d public keys in %s: %w", len(files), dir, err)
	}
	text, err := os.ReadFile(files[0])
	if err != nil {
		return nil, fmt.Errorf("read a public key: %w", err)
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, errors.New("read a public key: no PEM")
	}
	key, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("read a public key: %w", err)
	}
	return key.(*rsa.PublicKey), nil // wechatsim makes no others
}

// payOrders opens n recharge orders and has each of them paid.
func (c *cashDesk) payOrders(ctx context.Context, n int) ([]paidOrder, error) {
	orders, first := make([]paidOrder, n), c.opened
	c.opened += n
	err := inParallel(producers, n, func(_, i int) error {
		id := fmt.Sprintf("rc%d", first+i)
		order, _, err := c.orders.Open(ctx, producerName, tasks.RechargeOrder{RechargeID: id, UserID: fmt.Sprintf("payer%d", i),
			Channel: tasks.SourceWeChat, Amount: money.FromFen(100_00)})
		if err != nil {
			return err
		}
		at := benchClock.Now().UTC().Truncate(time.Second) // as the channel tells it
		txn := fmt.Sprintf("42000012342026030%011d", first+i)
		orders[i].payload = &tasks.Recharge{RechargeID: id, UserID: order.UserID, Channel: order.Channel, ChannelTxnID: txn,
			Amount: order.Amount, OccurredAt: at}
		orders[i].message, err = c.sim.Notice(channel.Notice{Channel: order.Channel, Event: channel.EventPaid, OutTradeNo: order.OutTradeNo,
			ChannelTxnID: txn, Amount: order.Amount, OccurredAt: at}, at)
		return err
	})
	return orders, err
}

// measure takes what was paid. The client rings Redis as in production; no worker runs.
func (c *cashDesk) measure(ctx context.Context, paid []paidOrder, take func(context.Context, *tasks.Client, []paidOrder) error) (sample, error) {
	client, err := tasks.NewClient(ctx, c.env.pool, c.env.doorbell, tasks.ClientConfig{Producer: producerName, RingAfter: time.Hour})
	if err != nil {
		return sample{}, err
	}
	s, err := c.env.measured(ctx, len(paid), func() error { return take(ctx, client, paid) })
	client.Close()
	return s, err
}

// takeBare verifies each notice's signature, looks at nothing of it, and accepts what it is known to say.
func (c *cashDesk) takeBare(ctx context.Context, client *tasks.Client, paid []paidOrder) error {
	return inParallel(producers, len(paid), func(_, i int) error {
		header := paid[i].message.Header
		signature, err := base64.StdEncoding.DecodeString(header.Get("Wechatpay-Signature"))
		if err != nil {
			return err
		}
		text := header.Get("Wechatpay-Timestamp") + "\n" + header.Get("Wechatpay-Nonce") + "\n" + string(paid[i].message.Body) + "\n"
		hash := sha256.Sum256([]byte(text))
		if err := rsa.VerifyPKCS1v15(c.key, crypto.SHA256, hash[:], signature); err != nil {
			return err
		}
		_, err = client.FromChannel().Enqueue(ctx, paid[i].payload)
		return err
	})
}

// take hands each notice to the handler, as the server of the API does.
func (c *cashDesk) take(ctx context.Context, client *tasks.Client, paid []paidOrder) error {
	door := http.NewServeMux()
	door.Handle("POST /v1/notices/{channel}", notice.NewHandler(notice.Config{Ports: onlyPort{c.port}, Pool: c.env.pool, Recharges: c.orders,
		Client: client, Clock: benchClock}))
	return inParallel(producers, len(paid), func(_, i int) error {
		request, err := http.NewRequestWithContext(ctx, http.MethodPost, "/v1/notices/wechat", bytes.NewReader(paid[i].message.Body))
		if err != nil {
			return err
		}
		request.Header = paid[i].message.Header
		answer := answered{header: http.Header{}}
		door.ServeHTTP(&answer, request)
		if answer.status != http.StatusNoContent {
			return fmt.Errorf("a notice was answered with %d", answer.status)
		}
		return nil
	})
}

// onlyPort is WeChat Pay and no other channel.
type onlyPort struct{ wechat *wechat.Channel }

// Port implements notice.Ports.
func (o onlyPort) Port(source tasks.Source) (channel.Port, bool) {
	return o.wechat, source == tasks.SourceWeChat
}

// answered is an answer of which the status alone is kept.
type answered struct {
	header http.Header
	status int
}

// Header implements http.ResponseWriter.
func (a *answered) Header() http.Header { return a.header }

// Write implements http.ResponseWriter.
func (a *answered) Write(body []byte) (int, error) { return len(body), nil }

// WriteHeader implements http.ResponseWriter.
func (a *answered) WriteHeader(status int) { a.status = status }
