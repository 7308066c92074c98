package alipaysim

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/settled-dev/settled/channel"
	"github.com/settled-dev/settled/channel/simulate"
	"github.com/settled-dev/settled/internal/clock"
	"github.com/settled-dev/settled/money"
)

const (
	gatewayPath = "/gateway.do"
	// requestBytesMax bounds the body of a request.
	requestBytesMax = 1 << 20
	// requestAgeMax is how far the timestamp of a request may be from now.
	requestAgeMax = 15 * time.Minute
	// refundableFor is how long a payment can be refunded.
	refundableFor = 365 * 24 * time.Hour
)

// node is what an answer says of its method.
type node map[string]string

// The nodes that refuse.
var (
	refusedSignature   = node{"code": "40002", "msg": "Invalid Arguments", "sub_code": "isv.invalid-signature", "sub_msg": "无效签名"}
	refusedMethod      = node{"code": "40002", "msg": "Invalid Arguments", "sub_code": "isv.invalid-method", "sub_msg": "不存在的方法名"}
	refusedParameter   = refusal("ACQ.INVALID_PARAMETER", "参数无效")
	refusedNoTrade     = refusal("ACQ.TRADE_NOT_EXIST", "交易不存在")
	refusedTooMuch     = refusal("ACQ.REFUND_AMT_NOT_EQUAL_TOTAL", "退款金额超限")
	refusedNumberTaken = refusal("ACQ.DISCORDANT_REPEAT_REQUEST", "不一致的请求")
	refusedFinished    = refusal("ACQ.TRADE_HAS_FINISHED", "交易已完结")
	refusedSystem      = refusal("ACQ.SYSTEM_ERROR", "系统错误")
)

func refusal(code, message string) node {
	return node{"code": "40004", "msg": "Business Failed", "sub_code": code, "sub_msg": message}
}

// The methods that are served.
const (
	methodRefund       = "alipay.trade.refund"
	methodQueryRefund  = "alipay.trade.fastpay.refund.query"
	methodQueryPayment = "alipay.trade.query"
)

// request is the content of a refund, without an amount that of its query, and without its number that of a trade's query.
type request struct {
	TradeNo      string `json:"trade_no"`
	OutTradeNo   string `json:"out_trade_no"`
	OutRequestNo string `json:"out_request_no"`
	RefundAmount string `json:"refund_amount"`
}

func (r request) valid(method string) bool {
	return (r.TradeNo != "" || r.OutTradeNo != "") && (r.OutRequestNo != "" || method == methodQueryPayment) &&
		len(r.TradeNo) <= 64 && len(r.OutTradeNo) <= 64 && len(r.OutRequestNo) <= 64
}

// Handler implements simulate.Dialect: it serves the gateway, at its own path. The desk also tells Notice of the payments.
func (c *Channel) Handler(desk simulate.Desk) http.Handler {
	c.mu.Lock()
	c.desk = desk
	c.mu.Unlock()
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+gatewayPath, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, requestBytesMax))
		if err != nil {
			http.Error(w, "the request is too large", http.StatusRequestEntityTooLarge)
			return
		}
		form, err := url.ParseQuery(string(body))
		if err != nil {
			http.Error(w, "the request is no form", http.StatusBadRequest)
			return
		}
		c.serve(w, desk, form)
	})
	return mux
}

// serve answers one call.
func (c *Channel) serve(w http.ResponseWriter, desk simulate.Desk, form url.Values) {
	method := form.Get("method")
	var asked request
	readable := json.Unmarshal([]byte(form.Get("biz_content")), &asked) == nil && asked.valid(method)
	switch {
	case method != methodRefund && method != methodQueryRefund && method != methodQueryPayment:
		c.answer(w, "error", refusedMethod, false)
	case !c.authorized(form):
		c.answer(w, method, refusedSignature, false)
	case !readable:
		c.answer(w, method, refusedParameter, true)
	case method == methodRefund:
		c.answer(w, method, refund(desk, asked), true)
	case method == methodQueryPayment:
		c.answer(w, method, queryPayment(desk, asked), true)
	default:
		c.answer(w, method, query(desk, asked), true)
	}
}

// refund takes a refund at the desk.
func refund(desk simulate.Desk, asked request) node {
	amount, err := money.ParsePositive(asked.RefundAmount)
	if err != nil {
		return refusedParameter
	}
	payment, known := desk.Payment(asked.TradeNo, asked.OutTradeNo)
	if !known {
		return refusedNoTrade
	}
	before, again := desk.Refunded(asked.OutRequestNo)
	if !again && desk.Now().Sub(payment.PaidAt) > refundableFor {
		return refusedFinished
	}
	taken, drop, err := desk.Refund(asked.OutRequestNo, asked.TradeNo, asked.OutTradeNo, amount)
	switch {
	case errors.Is(err, simulate.ErrUnknownPayment):
		return refusedNoTrade
	case errors.Is(err, simulate.ErrTooMuch):
		return refusedTooMuch
	case errors.Is(err, simulate.ErrNumberTaken):
		return refusedNumberTaken
	case err != nil:
		return refusedSystem
	case drop != nil:
		panic(drop) // instead of an answer
	case taken.State == channel.RefundFailed:
		return refusedFinished
	}
	answer := node{"code": "10000", "msg": "Success", "trade_no": payment.ChannelTxnID, "out_trade_no": payment.OutTradeNo,
		"buyer_logon_id": "180****0062", "fund_change": "N"}
	if taken.State == channel.RefundSucceeded {
		answer["refund_fee"] = refundedTotal(taken.RefundedTotal, taken.Amount).String()
		answer["gmt_refund_pay"] = wireTime(taken.EndedAt)
		if before.State != channel.RefundSucceeded {
			answer["fund_change"] = "Y"
		}
	}
	return answer
}

// query tells what became of a refund: everything when it is done, and else nothing.
func query(desk simulate.Desk, asked request) node {
	payment, known := desk.Payment(asked.TradeNo, asked.OutTradeNo)
	if !known {
		return refusedNoTrade
	}
	answer := node{"code": "10000", "msg": "Success"}
	found, known := desk.Refunded(asked.OutRequestNo)
	if known && found.State == channel.RefundSucceeded && found.Payment.ChannelTxnID == payment.ChannelTxnID {
		maps.Copy(answer, node{"trade_no": payment.ChannelTxnID, "out_trade_no": payment.OutTradeNo, "out_request_no": found.Number,
			"refund_amount": found.Amount.String(), "total_amount": payment.Amount.String(), "refund_status": "REFUND_SUCCESS"})
	}
	return answer
}

// queryPayment tells how far a trade is. A trade that was refunded as a whole is closed, like one that nobody paid in time: only the time
// of its payment tells them apart.
func queryPayment(desk simulate.Desk, asked request) node {
	found, known := desk.Ordered(asked.OutTradeNo)
	if !known {
		return refusedNoTrade
	}
	answer := node{"code": "10000", "msg": "Success", "out_trade_no": asked.OutTradeNo, "buyer_logon_id": "180****0062",
		"buyer_pay_amount": "0.00", "receipt_amount": "0.00", "total_amount": found.Amount.String(),
		"trade_no": messageID(channel.Notice{OutTradeNo: asked.OutTradeNo})[:28]}
	switch found.State {
	case simulate.OrderPaid:
		amount := found.Payment.Amount
		maps.Copy(answer, node{"trade_no": found.Payment.ChannelTxnID, "total_amount": amount.String(), "buyer_pay_amount": amount.String(),
			"receipt_amount": amount.String(), "send_pay_date": wireTime(found.Payment.PaidAt), "trade_status": "TRADE_SUCCESS"})
		if found.Refunded.Cmp(amount) >= 0 {
			answer["trade_status"] = "TRADE_CLOSED"
		}
	case simulate.OrderClosed:
		answer["trade_status"] = "TRADE_CLOSED"
	default:
		answer["trade_status"] = "WAIT_BUYER_PAY"
	}
	return answer
}

// answer writes the node of a method, and signs its text.
func (c *Channel) answer(w http.ResponseWriter, method string, content node, signed bool) {
	text, err := json.Marshal(content)
	if err != nil {
		http.Error(w, "answer cannot be made", http.StatusInternalServerError)
		return
	}
	answer := map[string]any{strings.ReplaceAll(method, ".", "_") + "_response": json.RawMessage(text)}
	if signed {
		key := c.signer()
		if answer["sign"], err = key.sign(text); err != nil {
			http.Error(w, "answer cannot be signed", http.StatusInternalServerError)
			return
		}
		if key.serial != "" {
			answer["alipay_cert_sn"] = key.serial
		}
	}
	w.Header().Set("Content-Type", "text/html;charset=utf-8") // as the real one
	_ = json.NewEncoder(w).Encode(answer)                     // a merchant that has gone queries later
}

// authorized checks app, certificates, time and signature of a request.
func (c *Channel) authorized(form url.Values) bool {
	var text []string
	for _, name := range slices.Sorted(maps.Keys(form)) {
		if len(form[name]) != 1 {
			return false
		}
		if name != "sign" && form.Get(name) != "" {
			text = append(text, name+"="+form.Get(name))
		}
	}
	at, err := time.ParseInLocation(time.DateTime, form.Get("timestamp"), clock.Shanghai)
	if err != nil || c.clock.Now().Sub(at).Abs() > requestAgeMax || form.Get("app_id") != AppID || form.Get("sign_type") != "RSA2" {
		return false
	}
	app, root := form.Get("app_cert_sn"), form.Get("alipay_root_cert_sn") // both or, in the mode of bare keys, none
	if (app != "" || root != "") && (app != c.app.serial || root != c.root.serial) {
		return false
	}
	signature, err := base64.StdEncoding.DecodeString(form.Get("sign"))
	sum := sha256.Sum256([]byte(strings.Join(text, "&")))
	return err == nil && rsa.VerifyPKCS1v15(&c.app.private.PublicKey, crypto.SHA256, sum[:], signature) == nil
}
