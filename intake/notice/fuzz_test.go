package notice_test

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/settled-dev/settled/channel"
	"github.com/settled-dev/settled/channel/roster"
	"github.com/settled-dev/settled/channel/simulate"
	"github.com/settled-dev/settled/channel/simulate/dialects"
	"github.com/settled-dev/settled/intake/notice"
	"github.com/settled-dev/settled/internal/clock"
	"github.com/settled-dev/settled/ledger/ledgertest"
	"github.com/settled-dev/settled/tasks"
)

// street is a door to the street for one channel: its port is real, and it has no PostgreSQL that it could ask.
type street struct {
	door
	simulate.KeyedDialect
	port   channel.Port
	signed map[channel.Notice]bool // what the channel has said
	alarms *alarms
}

// alarms counts what is logged as an error: a panic, which asking for PostgreSQL is here.
type alarms struct {
	slog.Handler
	rang atomic.Int64
}

// Enabled implements slog.Handler.
func (a *alarms) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelError }

// Handle implements slog.Handler.
func (a *alarms) Handle(context.Context, slog.Record) error {
	a.rang.Add(1)
	return nil
}

// openStreet opens a door, and has the channel tell of a payment and of a refund.
func openStreet(f *testing.F, source tasks.Source) (*street, []simulate.Message) {
	f.Helper()
	s := &street{door: door{clock: clock.NewManual(ledgertest.Noon), mux: http.NewServeMux()}, signed: map[channel.Notice]bool{}, alarms: &alarms{}}
	kinds := dialects.All()
	kind := kinds[slices.IndexFunc(kinds, func(kind simulate.Kind) bool { return kind.Source == source })]
	var err error
	if s.KeyedDialect, err = kind.New(s.clock); err != nil {
		f.Fatal(err)
	}
	dir := f.TempDir()
	if err := simulate.WriteSettings(dir, s.KeyedDialect, "http://127.0.0.1:1"); err != nil {
		f.Fatal(err)
	}
	opened, err := roster.Open(dir, http.DefaultClient, slog.New(slog.DiscardHandler))
	if err != nil {
		f.Fatal(err)
	}
	s.port, _ = opened.Port(source)
	s.mux.Handle("POST /v1/notices/{channel}", notice.NewHandler(notice.Config{Ports: opened, Registerer: prometheus.NewRegistry(),
		Clock: s.clock, Logger: slog.New(s.alarms)}))
	paid := channel.Notice{Channel: source, Event: channel.EventPaid, OutTradeNo: "RC00000001", ChannelTxnID: "2026030222001400010001",
		Amount: ledgertest.Yuan("100.00"), OccurredAt: ledgertest.Noon}
	refunded := paid
	refunded.Event, refunded.RefundNumber, refunded.Refund = channel.EventRefund, "RF00000001", channel.RefundAnswer{
		State: channel.RefundSucceeded, EndedAt: ledgertest.Noon}
	var messages []simulate.Message
	for _, n := range []channel.Notice{paid, refunded} {
		message, err := s.Notice(n, ledgertest.Noon)
		if err != nil {
			f.Fatal(err)
		}
		read, err := s.port.ReadNotice(message.Header, message.Body, ledgertest.Noon)
		if err != nil {
			f.Fatal(err)
		}
		s.signed[read] = true
		messages = append(messages, message)
	}
	return s, messages
}

// refuses sends a message that nobody has signed: it is answered, not acknowledged, and nothing panics or asks for PostgreSQL.
func (s *street) refuses(t *testing.T, header http.Header, body []byte) {
	t.Helper()
	if read, err := s.port.ReadNotice(header, body, ledgertest.Noon); err == nil && s.signed[read] {
		return // a seed, perhaps encoded otherwise
	}
	answer := s.send(t.Context(), string(s.Source()), header, bytes.NewReader(body))
	if s.Acknowledged(answer.Code, answer.Body.Bytes()) {
		t.Errorf("acknowledged with %d %s", answer.Code, answer.Body)
	}
	if s.alarms.rang.Swap(0) > 0 {
		t.Errorf("it panicked; answered %d %s", answer.Code, answer.Body)
	}
}

// FuzzMessagesOfWeChatPay sends what anybody could send: headers and bodies.
func FuzzMessagesOfWeChatPay(f *testing.F) {
	s, messages := openStreet(f, tasks.SourceWeChat)
	add := func(header http.Header, body []byte) {
		f.Add(header.Get("Wechatpay-Timestamp"), header.Get("Wechatpay-Nonce"), header.Get("Wechatpay-Serial"), header.Get("Wechatpay-Signature"), body)
	}
	for _, good := range messages {
		add(good.Header, good.Body)
		add(good.Header, good.Body[1:])
		add(good.Header, nil)
		add(http.Header{}, good.Body)
	}
	f.Fuzz(func(t *testing.T, timestamp, nonce, serial, signature string, body []byte) {
		s.refuses(t, http.Header{"Wechatpay-Timestamp": {timestamp}, "Wechatpay-Nonce": {nonce}, "Wechatpay-Serial": {serial},
			"Wechatpay-Signature": {signature}}, body)
	})
}

// fuzzForms sends forms to a channel whose signature is one of their fields.
func fuzzForms(f *testing.F, source tasks.Source) {
	s, messages := openStreet(f, source)
	header := messages[0].Header
	for _, good := range messages {
		body := string(good.Body)
		for _, wrong := range []string{body, body[1:], body[:len(body)/2], body + "&" + body, body + "&a=%zz", body + "&=", "%"} {
			f.Add([]byte(wrong))
		}
	}
	f.Add([]byte(nil))
	f.Add([]byte("sign=AAAA&sign_type=RSA2&biz_content={"))
	f.Add([]byte("version=5.1.0&signMethod=01&signature=AAAA&signPubKeyCert=-----BEGIN+CERTIFICATE-----%0D%0AMAA=%0D%0A-----END+CERTIFICATE-----"))
	f.Fuzz(func(t *testing.T, body []byte) { s.refuses(t, header, body) })
}

// FuzzMessagesOfAlipay sends what anybody could send.
func FuzzMessagesOfAlipay(f *testing.F) { fuzzForms(f, tasks.SourceAlipay) }

// FuzzMessagesOfUnionPay sends what anybody could send.
func FuzzMessagesOfUnionPay(f *testing.F) { fuzzForms(f, tasks.SourceUnionPay) }

// FuzzMessagesOfDigitalRMB sends what anybody could send.
func FuzzMessagesOfDigitalRMB(f *testing.F) { fuzzForms(f, tasks.SourceECNY) }
