package wechatsim

import (
	"crypto"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/settled-dev/settled/channel"
	"github.com/settled-dev/settled/channel/simulate"
	"github.com/settled-dev/settled/money"
)

const (
	refundsPath = "/v3/refund/domestic/refunds"
	ordersPath  = "/v3/pay/transactions/out-trade-no"
	// requestBytesMax bounds the body of a request.
	requestBytesMax = 1 << 20
	// requestAgeMax is how far the timestamp of a request may be from now.
	requestAgeMax = 5 * time.Minute
	// refundableFor is how long a payment can be refunded.
	refundableFor = 365 * 24 * time.Hour
)

// fault is the body of an answer that refuses.
type fault struct {
	status  int
	Code    string `json:"code"`
	Message string `json:"message"`
}

// The faults that answer a merchant.
var (
	faultSignature   = &fault{http.StatusUnauthorized, "SIGN_ERROR", "签名错误"}
	faultParameter   = &fault{http.StatusBadRequest, "PARAM_ERROR", "参数错误"}
	faultNoPayment   = &fault{http.StatusNotFound, "RESOURCE_NOT_EXISTS", "订单不存在"}
	faultNoOrder     = &fault{http.StatusNotFound, "ORDER_NOT_EXIST", "订单不存在"}
	faultNoRefund    = &fault{http.StatusNotFound, "RESOURCE_NOT_EXISTS", "退款单不存在"}
	faultTooMuch     = &fault{http.StatusBadRequest, "INVALID_REQUEST", "申请退款金额大于订单可退金额"}
	faultNumberTaken = &fault{http.StatusBadRequest, "INVALID_REQUEST", "订单金额或退款金额与之前请求不一致，请核实后再试"}
	faultTooOld      = &fault{http.StatusBadRequest, "INVALID_REQUEST", "订单已超过可退款期限"}
	faultSystem      = &fault{http.StatusInternalServerError, "SYSTEM_ERROR", "系统异常，请用相同参数重新调用"}
)

// refundRequest is what a merchant asks for.
type refundRequest struct {
	TransactionID string `json:"transaction_id"`
	OutTradeNo    string `json:"out_trade_no"`
	OutRefundNo   string `json:"out_refund_no"`
	Amount        struct {
		Refund   int64  `json:"refund"`
		Total    int64  `json:"total"`
		Currency string `json:"currency"`
	} `json:"amount"`
}

// Handler implements simulate.Dialect: it serves the refund and the queries of a refund and of an order, at their own paths. It may
// be mounted below another path with http.StripPrefix: signatures cover the path that was asked for.
func (c *Channel) Handler(desk simulate.Desk) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("POST "+refundsPath, c.signed(func(_ *http.Request, body []byte) (any, *fault) { return refund(desk, body) }))
	mux.Handle("GET "+refundsPath+"/{number}", c.signed(func(r *http.Request, _ []byte) (any, *fault) {
		found, known := desk.Refunded(r.PathValue("number"))
		if !known {
			return nil, faultNoRefund
		}
		return refundAnswer(found), nil
	}))
	mux.Handle("GET "+ordersPath+"/{number}", c.signed(func(r *http.Request, _ []byte) (any, *fault) {
		if r.URL.Query().Get("mchid") != MerchantID {
			return nil, faultParameter
		}
		found, known := desk.Ordered(r.PathValue("number"))
		if !known {
			return nil, faultNoOrder
		}
		return orderAnswer(r.PathValue("number"), found), nil
	}))
	return mux
}

// orderAnswer is an order as the query shows it: of one that is not paid, little more than its state.
func orderAnswer(number string, o simulate.Ordered) map[string]any {
	switch o.State {
	case simulate.OrderPaid:
		content := paymentContent(channel.Notice{MerchantID: MerchantID, AppID: AppID, OutTradeNo: number, ChannelTxnID: o.Payment.ChannelTxnID,
			Amount: o.Payment.Amount, OccurredAt: o.Payment.PaidAt})
		if o.Refunded.IsPositive() {
			content["trade_state"], content["trade_state_desc"] = "REFUND", "订单发生过退款"
		}
		return content
	case simulate.OrderClosed:
		return map[string]any{"mchid": MerchantID, "appid": AppID, "out_trade_no": number, "trade_state": "CLOSED", "trade_state_desc": "订单已关闭"}
	default:
		return map[string]any{"mchid": MerchantID, "appid": AppID, "out_trade_no": number, "trade_state": "NOTPAY", "trade_state_desc": "订单未支付"}
	}
}

// refund takes a refund at the desk.
func refund(desk simulate.Desk, body []byte) (any, *fault) {
	var request refundRequest
	if json.Unmarshal(body, &request) != nil || !request.valid() {
		return nil, faultParameter
	}
	payment, known := desk.Payment(request.TransactionID, request.OutTradeNo)
	if !known {
		return nil, faultNoPayment
	}
	if payment.Amount.Fen() != request.Amount.Total {
		return nil, faultNumberTaken
	}
	if _, again := desk.Refunded(request.OutRefundNo); !again && desk.Now().Sub(payment.PaidAt) > refundableFor {
		return nil, faultTooOld
	}
	taken, drop, err := desk.Refund(request.OutRefundNo, request.TransactionID, request.OutTradeNo, money.FromFen(request.Amount.Refund))
	switch {
	case errors.Is(err, simulate.ErrUnknownPayment):
		return nil, faultNoPayment
	case errors.Is(err, simulate.ErrTooMuch):
		return nil, faultTooMuch
	case errors.Is(err, simulate.ErrNumberTaken):
		return nil, faultNumberTaken
	case err != nil:
		return nil, faultSystem
	case drop != nil:
		panic(drop) // instead of an answer
	}
	return refundAnswer(taken), nil
}

func (r refundRequest) valid() bool {
	const allowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-|*@"
	return (r.TransactionID == "") != (r.OutTradeNo == "") && len(r.TransactionID) <= 32 && len(r.OutTradeNo) <= 32 &&
		r.OutRefundNo != "" && len(r.OutRefundNo) <= 64 && strings.Trim(r.OutRefundNo, allowed) == "" &&
		r.Amount.Refund > 0 && r.Amount.Total >= r.Amount.Refund && r.Amount.Total <= money.MaxFen && r.Amount.Currency == "CNY"
}

// refundAnswer is a refund as both interfaces show it.
func refundAnswer(r simulate.Refund) map[string]any {
	status, fen := refundStatus(r.State, r.Reason), r.Amount.Fen()
	content := map[string]any{"refund_id": r.ChannelRefundID, "out_refund_no": r.Number, "transaction_id": r.Payment.ChannelTxnID,
		"out_trade_no": r.Payment.OutTradeNo, "channel": "ORIGINAL", "user_received_account": "支付用户零钱",
		"create_time": wireTime(r.AcceptedAt), "status": status, "funds_account": "AVAILABLE",
		"amount": map[string]any{"total": r.Payment.Amount.Fen(), "refund": fen, "payer_total": r.Payment.Amount.Fen(),
			"payer_refund": fen, "settlement_total": r.Payment.Amount.Fen(), "settlement_refund": fen, "discount_refund": 0, "currency": "CNY"}}
	if status == "SUCCESS" {
		content["success_time"] = wireTime(r.EndedAt)
	}
	return content
}

// signed verifies the request's signature, and signs the answer.
func (c *Channel) signed(serve func(*http.Request, []byte) (any, *fault)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, requestBytesMax))
		if err != nil {
			c.answer(w, r, faultParameter.status, faultParameter)
			return
		}
		if !c.authorized(r, body) {
			c.answer(w, r, faultSignature.status, faultSignature)
			return
		}
		content, refused := serve(r, body)
		if refused != nil {
			c.answer(w, r, refused.status, refused)
			return
		}
		c.answer(w, r, http.StatusOK, content)
	})
}

// answer writes JSON, signed unless it says that the merchant is not known.
func (c *Channel) answer(w http.ResponseWriter, r *http.Request, status int, content any) {
	body, err := json.Marshal(content)
	if err == nil && content != faultSignature {
		err = c.signer(r.Header.Get("Wechatpay-Serial")).sign(w.Header(), body, c.clock.Now())
	}
	if err != nil {
		http.Error(w, "answer cannot be made", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(body) // a merchant that has gone queries later
}

// authorized checks the Authorization of a request over its method, path, time, nonce and body.
func (c *Channel) authorized(r *http.Request, body []byte) bool {
	given, found := strings.CutPrefix(r.Header.Get("Authorization"), signatureScheme+" ")
	if !found {
		return false
	}
	parts := map[string]string{}
	for part := range strings.SplitSeq(given, ",") {
		name, quoted, _ := strings.Cut(part, "=")
		value, err := strconv.Unquote(quoted)
		if _, twice := parts[name]; err != nil || twice {
			return false
		}
		parts[name] = value
	}
	seconds, err := strconv.ParseInt(parts["timestamp"], 10, 40)
	if err != nil || c.clock.Now().Sub(time.Unix(seconds, 0)).Abs() > requestAgeMax {
		return false
	}
	signature, err := base64.StdEncoding.DecodeString(parts["signature"])
	if err != nil || parts["mchid"] != MerchantID || parts["serial_no"] != c.merchantSerial {
		return false
	}
	text := sum(r.Method, r.RequestURI, parts["timestamp"], parts["nonce_str"], string(body))
	return rsa.VerifyPKCS1v15(&c.merchantKey.PublicKey, crypto.SHA256, text, signature) == nil
}
