package ecnysim

import (
	"crypto/md5" //nolint:gosec // the bank's choice for a header
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/settled-dev/settled/channel"
	"github.com/settled-dev/settled/channel/simulate"
	"github.com/settled-dev/settled/internal/clock"
	"github.com/settled-dev/settled/money"
)

const (
	refundPath = "/polypay/v1.0/mchorders/refund"
	queryPath  = "/polypay/v1.0/mchorders/refundquery"
	orderPath  = "/polypay/v1.0/mchorders/orderquery"
	// requestBytesMax bounds the body of a request.
	requestBytesMax = 1 << 20
	// requestAgeMax is how far the timestamp of a request may be from now. The bank's document does not say: assumed.
	requestAgeMax = 5 * time.Minute
	// refundableFor is how long a payment can be refunded. The bank's document has the refusal, not the time: assumed.
	refundableFor = 365 * 24 * time.Hour
	// queriedFor is how far back the bank looks for a refund or an order.
	queriedFor = 15 * 24 * time.Hour
)

// refusal is why the bank does not do what it was asked. A question that it cannot read has returnCode FAIL, any other refusal
// respCode FAIL.
type refusal struct {
	unread     bool
	code, text string
}

// The refusals.
var (
	refusalSignature   = &refusal{true, "SIGN_ERROR", "签名错误"}
	refusalJSON        = &refusal{true, "JSON_FORMAT_ERROR", "JSON格式错误"}
	refusalMerchant    = &refusal{false, "MERID_NOT_EXIST", "商户号不存在"}
	refusalCashier     = &refusal{false, "USERID_CHECK_FAILED", "收银员信息校验失败"}
	refusalNumber      = &refusal{false, "ORDERID_NOT_LAWFUL", "商户订单号字段内容非法"}
	refusalAmount      = &refusal{false, "REFUNDAMT_NOT_LAWFUL", "退款交易金额字段内容非法"}
	refusalNoPayment   = &refusal{false, "OCMBORDERID_NOT_EXIST", "平台订单号不存在"}
	refusalOtherAmount = &refusal{false, "TXNAMT_ERROR", "原交易金额不符"}
	refusalOverdue     = &refusal{false, "TRADE_OVERDUE", "订单已经超过退款期限"}
	refusalTooMuch     = &refusal{false, "NOT_ENOUGH", "余额不足"}
	refusalTaken       = &refusal{false, "ORDERID_DUPLICATION", "商户订单号重复"}
	refusalNoRefund    = &refusal{false, "CMBORDERID_NOT_EXIST", "平台订单号不存在"}
	refusalTooOld      = &refusal{false, "CMB_ORDERID_NOT_EXIST", "平台订单号不存在"} // spelled otherwise, as in the document
	refusalSystem      = &refusal{false, "SYSTERM_ERROR", "系统处理异常"}
)

// request is the content of what a merchant asks for.
type request struct {
	MerID          string `json:"merId"`
	UserID         string `json:"userId"`
	OrderID        string `json:"orderId"`
	OrigOrderID    string `json:"origOrderId"`
	OrigCmbOrderID string `json:"origCmbOrderId"`
	TxnAmt         string `json:"txnAmt"`
	RefundAmt      string `json:"refundAmt"`
	CurrencyCode   string `json:"currencyCode"`
}

// Handler implements simulate.Dialect: it serves the refund and the queries of a refund and of an order, at their own paths.
func (c *Channel) Handler(desk simulate.Desk) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("POST "+refundPath, c.signed(func(asked request) (map[string]string, *refusal) { return refund(desk, asked) }))
	mux.Handle("POST "+queryPath, c.signed(func(asked request) (map[string]string, *refusal) { return query(desk, asked) }))
	mux.Handle("POST "+orderPath, c.signed(func(asked request) (map[string]string, *refusal) { return queryOrder(desk, asked) }))
	return mux
}

// refund takes a refund at the desk.
func refund(desk simulate.Desk, asked request) (map[string]string, *refusal) {
	amount, err := strconv.ParseInt(asked.RefundAmt, 10, 64)
	if err != nil || amount <= 0 || amount > money.MaxFen || asked.CurrencyCode != "" && asked.CurrencyCode != "156" {
		return nil, refusalAmount
	}
	payment, known := desk.Payment(asked.OrigCmbOrderID, asked.OrigOrderID)
	if !known {
		return nil, refusalNoPayment
	}
	if fen(payment.Amount.Fen()) != asked.TxnAmt {
		return nil, refusalOtherAmount
	}
	if _, again := desk.Refunded(asked.OrderID); !again && desk.Now().Sub(payment.PaidAt) > refundableFor {
		return nil, refusalOverdue
	}
	taken, drop, err := desk.Refund(asked.OrderID, asked.OrigCmbOrderID, asked.OrigOrderID, money.FromFen(amount))
	switch {
	case errors.Is(err, simulate.ErrUnknownPayment):
		return nil, refusalNoPayment
	case errors.Is(err, simulate.ErrTooMuch):
		return nil, refusalTooMuch
	case errors.Is(err, simulate.ErrNumberTaken):
		return nil, refusalTaken
	case err != nil:
		return nil, refusalSystem
	case drop != nil:
		panic(drop) // instead of an answer
	}
	return answerContent(taken, "refundState"), nil
}

func query(desk simulate.Desk, asked request) (map[string]string, *refusal) {
	found, known := desk.Refunded(asked.OrderID)
	switch {
	case !known:
		return nil, refusalNoRefund
	case desk.Now().Sub(found.AcceptedAt) > queriedFor:
		return nil, refusalTooOld
	}
	return answerContent(found, "tradeState"), nil
}

func queryOrder(desk simulate.Desk, asked request) (map[string]string, *refusal) {
	found, known := desk.Ordered(asked.OrderID)
	content := map[string]string{"currencyCode": "156", "payType": "EC", "thirdOrderId": hashed("EC", asked.OrderID), "dscAmt": "0",
		"cmbOrderId": hashed("0032", asked.OrderID), "txnAmt": fen(found.Amount.Fen())}
	switch {
	case !known:
		return nil, refusalNoRefund
	case found.State == simulate.OrderClosed:
		content["tradeState"] = "C"
	case found.State == simulate.OrderUnpaid:
		content["tradeState"] = "P"
	case desk.Now().Sub(found.Payment.PaidAt) > queriedFor:
		return nil, refusalTooOld
	default:
		ended := found.Payment.PaidAt.In(clock.Shanghai).Format("20060102150405")
		content["txnTime"], content["endDate"], content["endTime"] = ended, ended[:8], ended[8:]
		content["cmbOrderId"], content["txnAmt"], content["tradeState"] = found.Payment.ChannelTxnID, fen(found.Payment.Amount.Fen()), "S"
		if found.Refunded.IsPositive() {
			content["tradeState"] = "R"
		}
	}
	return content, nil
}

// answerContent is a refund as both interfaces show it; only the name of its state differs.
func answerContent(r simulate.Refund, state string) map[string]string {
	content := map[string]string{"cmbOrderId": hashed("0052", r.Number), "refundAmt": fen(r.Amount.Fen()), "refundDscAmt": "0",
		"currencyCode": "156", "txnTime": r.AcceptedAt.In(clock.Shanghai).Format("20060102150405")}
	switch r.State {
	case channel.RefundSucceeded:
		content[state] = "S"
		ended := r.EndedAt.In(clock.Shanghai).Format("20060102150405")
		content["endDate"], content["endTime"] = ended[:8], ended[8:]
	case channel.RefundFailed:
		content[state], content["failureReason"] = "F", r.Reason
	case channel.RefundProcessing:
		content[state] = "P"
	}
	return content
}

// signed verifies a request, and signs the answer.
func (c *Channel) signed(serve func(request) (map[string]string, *refusal)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked, refused := c.read(w, r)
		var content map[string]string
		if refused == nil {
			content, refused = serve(asked)
		}
		c.answer(w, asked, content, refused)
	})
}

// read takes a merchant's request apart.
func (c *Channel) read(w http.ResponseWriter, r *http.Request) (request, *refusal) {
	var asked message
	var content request
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, requestBytesMax))
	if err != nil || json.Unmarshal(body, &asked) != nil {
		return content, refusalJSON
	}
	if !c.authorized(r.Header, asked["sign"]) || !asked.verified(&c.merchantKey.PublicKey) {
		return content, refusalSignature
	}
	switch {
	case json.Unmarshal([]byte(asked["biz_content"]), &content) != nil:
		return request{}, refusalJSON
	case content.MerID != MerchantID:
		return content, refusalMerchant
	case content.UserID != UserID:
		return content, refusalCashier
	case content.OrderID == "" || len(content.OrderID) > 32:
		return content, refusalNumber
	}
	return content, nil
}

// authorized checks the headers that tie a request to the merchant's app.
func (c *Channel) authorized(header http.Header, signature string) bool {
	timestamp := header.Get("timestamp")
	seconds, err := strconv.ParseInt(timestamp, 10, 40)
	if err != nil || c.clock.Now().Sub(time.Unix(seconds, 0)).Abs() > requestAgeMax {
		return false
	}
	text := "appid=" + AppID + "&secret=" + c.appSecret + "&sign=" + signature + "&timestamp=" + timestamp
	sum := md5.Sum([]byte(text)) //nolint:gosec // as above
	return header.Get("appid") == AppID && header.Get("apisign") == hex.EncodeToString(sum[:])
}

// answer writes a signed answer, with the content or the refusal.
func (c *Channel) answer(w http.ResponseWriter, asked request, content map[string]string, refused *refusal) {
	body, err := c.word(asked, content, refused)
	if err != nil {
		http.Error(w, "answer cannot be made", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	_, _ = w.Write(body) // a merchant that has gone queries later
}

// word makes the body of an answer. Whom and what it is about, it repeats from the question.
func (c *Channel) word(asked request, content map[string]string, refused *refusal) ([]byte, error) {
	answer := message{"returnCode": "SUCCESS", "respCode": "SUCCESS"}
	if refused != nil {
		content = map[string]string{}
		answer["respCode"], answer["errCode"], answer["respMsg"] = "FAIL", refused.code, refused.text
	}
	if refused != nil && refused.unread {
		answer["returnCode"] = "FAIL"
		delete(answer, "respCode")
	} else {
		content["merId"], content["orderId"] = asked.MerID, asked.OrderID
		text, err := json.Marshal(content)
		if err != nil {
			return nil, err
		}
		answer["biz_content"] = string(text)
	}
	if err := answer.sign(c.signer()); err != nil {
		return nil, err
	}
	return json.Marshal(answer)
}
