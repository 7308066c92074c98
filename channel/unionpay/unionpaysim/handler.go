package unionpaysim

import (
	"errors"
	"io"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"sync"

	"github.com/settled-dev/settled/channel/simulate"
	"github.com/settled-dev/settled/money"
)

// requestBytesMax bounds the body of a request.
const requestBytesMax = 1 << 16

// counter serves one desk. UnionPay knows a refund by its number and by the time that the merchant gave it, which a desk does not keep.
type counter struct {
	desk simulate.Desk

	mu    sync.Mutex
	times map[string]string // of the refunds that were taken here, by number
}

// Handler implements simulate.Dialect: it serves back transactions, of which it knows refunds, and queries of them, at their own paths.
func (c *Channel) Handler(desk simulate.Desk) http.Handler {
	served := &counter{desk: desk, times: map[string]string{}}
	mux := http.NewServeMux()
	mux.Handle("POST "+backTransPath, c.signed(served.refund))
	mux.Handle("POST "+queryTransPath, c.signed(served.query))
	return mux
}

// The forms of what a merchant sends.
var (
	orderIDForm = regexp.MustCompile(`^[A-Za-z0-9]{8,40}$`)
	queryIDForm = regexp.MustCompile(`^[A-Za-z0-9]{1,64}$`)
	timeForm    = regexp.MustCompile(`^[0-9]{14}$`)
	amountForm  = regexp.MustCompile(`^[1-9][0-9]{0,11}$`)
)

// refund takes a refund at the desk.
func (s *counter) refund(request, answer message) (code string) {
	fen, err := strconv.ParseInt(request["txnAmt"], 10, 64)
	if err != nil || !amountForm.MatchString(request["txnAmt"]) || !orderIDForm.MatchString(request["orderId"]) ||
		!timeForm.MatchString(request["txnTime"]) || !queryIDForm.MatchString(request["origQryId"]) || request["backUrl"] == "" ||
		request["txnType"] != "04" || request["txnSubType"] != "00" || request["bizType"] != "000201" || request["channelType"] == "" {
		return "10"
	}
	number := request["orderId"]
	if _, again := s.desk.Refunded(number); again {
		return "12"
	}
	s.mu.Lock()
	s.times[number] = request["txnTime"]
	s.mu.Unlock()
	taken, drop, err := s.desk.Refund(number, request["origQryId"], "", money.FromFen(fen))
	switch {
	case errors.Is(err, simulate.ErrUnknownPayment):
		return "35"
	case errors.Is(err, simulate.ErrTooMuch):
		return "36"
	case errors.Is(err, simulate.ErrNumberTaken):
		return "12"
	case err != nil:
		return "02"
	case drop != nil:
		panic(drop) // instead of an answer
	}
	answer["origQryId"], answer["queryId"], answer["txnAmt"] = request["origQryId"], taken.ChannelRefundID, request["txnAmt"]
	return "00"
}

// queryPayment tells how far a payer's order is. Of a closed one UnionPay has no word of its own: it tells that an attempt came too late.
func queryPayment(ordered simulate.Ordered, request, answer message) (code string) {
	if !ordered.OrderedAt.IsZero() && wireTime(ordered.OrderedAt) != request["txnTime"] {
		return "34"
	}
	answer["txnType"], answer["txnSubType"], answer["bizType"] = "01", "01", "000201"
	answer["txnAmt"], answer["settleAmt"] = strconv.FormatInt(ordered.Amount.Fen(), 10), "0"
	switch ordered.State {
	case simulate.OrderPaid:
		answer["origRespCode"], answer["queryId"], answer["payCardType"] = "00", ordered.Payment.ChannelTxnID, "01"
		maps.Copy(answer, settlement(ordered.Payment.Amount, ordered.Payment.PaidAt))
	case simulate.OrderClosed:
		answer["origRespCode"] = "39"
	default:
		answer["origRespCode"] = "05"
	}
	answer["origRespMsg"] = messages[answer["origRespCode"]]
	return "00"
}

// query finds an order or a refund at the desk.
func (s *counter) query(request, answer message) (code string) {
	number := request["orderId"]
	if !orderIDForm.MatchString(number) || !timeForm.MatchString(request["txnTime"]) || request["txnType"] != "00" ||
		request["txnSubType"] != "00" {
		return "10"
	}
	s.mu.Lock()
	at, taken := s.times[number]
	s.mu.Unlock()
	if ordered, known := s.desk.Ordered(number); known {
		return queryPayment(ordered, request, answer)
	}
	found, known := s.desk.Refunded(number)
	if !known || taken && at != request["txnTime"] {
		return "34"
	}
	answer["txnType"], answer["queryId"], answer["txnAmt"] = "04", found.ChannelRefundID, strconv.FormatInt(found.Amount.Fen(), 10)
	answer["origRespCode"] = respCode(found.State, found.Reason)
	answer["origRespMsg"] = messages[answer["origRespCode"]]
	return "00"
}

// signed verifies the request's signature, and signs the answer. An answer repeats what names the transaction.
func (c *Channel) signed(serve func(request, answer message) (code string)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		request, err := readRequest(http.MaxBytesReader(w, r.Body, requestBytesMax))
		answer := message{}
		for _, name := range []string{"accessType", "bizType", "merId", "orderId", "txnSubType", "txnTime", "txnType"} {
			if value := request[name]; value != "" {
				answer[name] = value
			}
		}
		switch {
		case err != nil:
			answer["respCode"] = "10"
		case !c.genuine(request):
			answer["respCode"] = "11"
		default:
			answer["respCode"] = serve(request, answer)
		}
		answer["respMsg"] = messages[answer["respCode"]]
		if err := c.sign(answer); err != nil {
			http.Error(w, "answer cannot be made", http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "text/html;charset=UTF-8")
		_, _ = io.WriteString(w, answer.text()+"&signature="+answer["signature"]) // a merchant that has gone queries later
	})
}

// readRequest reads a form in which no name is twice and no value is empty.
func readRequest(body io.Reader) (message, error) {
	text, err := io.ReadAll(body)
	if err != nil {
		return nil, err
	}
	form, err := url.ParseQuery(string(text))
	if err != nil {
		return nil, err
	}
	request := message{}
	for name, values := range form {
		if len(values) != 1 || values[0] == "" {
			return nil, errors.New(name + " is twice or empty")
		}
		request[name] = values[0]
	}
	return request, nil
}
