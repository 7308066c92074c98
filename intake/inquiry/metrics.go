package inquiry

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/settled-dev/settled/intake/notice"
	"github.com/settled-dev/settled/tasks"
)

// result is what an inquiry came to, as it is counted: one of a payment's, or one of these.
type result = notice.Result

const (
	resultClosed        result = "closed"         // the channel will never take a payment of the order
	resultUnpaid        result = "unpaid"         // the channel knows the order; nobody has paid it
	resultUnknownNumber result = "unknown_number" // the channel has never seen the order
	resultRefused       result = "refused"        // the channel answers, and does not tell
	resultUnanswered    result = "unanswered"     // nothing is known
	resultUnreadable    result = "unreadable"     // the channel answers, of another merchant or app or in words that this version does not know
	resultFailed        result = "failed"         // the answer could not be accepted, or there is a bug
)

// results lists every result.
func results() []result {
	return []result{notice.ResultConfirmed, notice.ResultSuspended, notice.ResultReplayed, notice.ResultContradicted, resultClosed,
		resultUnpaid, resultUnknownNumber, resultRefused, resultUnanswered, resultUnreadable, resultFailed}
}

// metrics are what an inquirer counts. Gauges are of the whole system: every process shows the same.
type metrics struct {
	inquiries        *prometheus.CounterVec
	waiting, overdue *prometheus.GaugeVec
	errors           prometheus.Counter
}

func newMetrics(registerer prometheus.Registerer) *metrics {
	m := &metrics{
		inquiries: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "settled_intake_inquiries_total",
			Help: "Recharge orders that channels were asked about, by channel and what it came to."}, []string{"channel", "result"}),
		waiting: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "settled_intake_waiting_inquiries",
			Help: "Recharge orders that a channel is to be asked about, now or later, unless their payment becomes known; 10000 are " +
				"that many or more."}, []string{"channel"}),
		overdue: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "settled_intake_oldest_inquiry_overdue_seconds",
			Help: "How long the recharge order has been due that a channel should have answered about first; 0 when none is due."},
			[]string{"channel"}),
		errors: prometheus.NewCounter(prometheus.CounterOpts{Name: "settled_intake_inquiry_errors_total",
			Help: "Rounds of inquiries that PostgreSQL did not let finish."}),
	}
	for _, source := range tasks.Channels() {
		m.waiting.WithLabelValues(string(source))
		m.overdue.WithLabelValues(string(source))
		for _, result := range results() {
			m.inquiries.WithLabelValues(string(source), string(result))
		}
	}
	if registerer != nil {
		registerer.MustRegister(m.inquiries, m.waiting, m.overdue, m.errors)
	}
	return m
}

func (m *metrics) asked(source tasks.Source, became result) {
	m.inquiries.WithLabelValues(string(source), string(became)).Inc()
}
