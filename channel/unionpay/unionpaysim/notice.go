package unionpaysim

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/settled-dev/settled/channel"
	"github.com/settled-dev/settled/channel/simulate"
	"github.com/settled-dev/settled/internal/clock"
	"github.com/settled-dev/settled/money"
)

// Notice implements simulate.Dialect. The merchant is made up where the notice has none. EventOther is sent as the opening of a card for
// payments. There is no notice of an order that was closed, nor of a refund that is processing: those are
// simulate.ErrNoNotice, wrapped.
func (c *Channel) Notice(notice channel.Notice, _ time.Time) (simulate.Message, error) {
	m := message{"accessType": "0", "bizType": "000201", "merId": cmp.Or(notice.MerchantID, MerchantID),
		"txnTime": wireTime(notice.OccurredAt), "respCode": "00", "respMsg": messages["00"]}
	switch {
	case notice.Event == channel.EventPaid:
		m["txnType"], m["txnSubType"] = "01", "01"
		m["orderId"], m["queryId"] = notice.OutTradeNo, notice.ChannelTxnID
		m["payCardType"] = "01"
		m["txnTime"] = wireTime(notice.OccurredAt.Add(-payerTime))
		maps.Copy(m, settlement(notice.Amount, notice.OccurredAt))
	case notice.Event == channel.EventRefund && notice.Refund.State != channel.RefundProcessing:
		m["txnType"], m["txnSubType"] = "04", "00"
		m["orderId"], m["origQryId"], m["queryId"] = notice.RefundNumber, notice.ChannelTxnID, queryID(notice.RefundNumber)
		m["respCode"] = respCode(notice.Refund.State, notice.Refund.Reason)
		m["respMsg"] = messages[m["respCode"]]
		maps.Copy(m, settlement(notice.Amount, notice.OccurredAt))
		if notice.Refund.State == channel.RefundFailed { // nothing is cleared
			for _, name := range []string{"settleAmt", "settleCurrencyCode", "settleDate"} {
				delete(m, name)
			}
		}
	case notice.Event == channel.EventOther:
		m["txnType"], m["txnSubType"], m["bizType"] = "79", "00", "000301"
		m["orderId"] = queryID(m["txnTime"])
	default:
		return simulate.Message{}, fmt.Errorf("%w: %s %s", simulate.ErrNoNotice, notice.Event, notice.Refund.State)
	}
	if err := c.sign(m); err != nil {
		return simulate.Message{}, err
	}
	form := url.Values{}
	for name, value := range m {
		form.Set(name, value)
	}
	return simulate.Message{Header: http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}, Body: []byte(form.Encode())}, nil
}

// payerTime is how long before the payment the merchant has sent its order.
const payerTime = time.Minute

// settlement is how much moves, and when it is cleared.
func settlement(amount money.Amount, at time.Time) message {
	fen := strconv.FormatInt(amount.Fen(), 10)
	day := at.In(clock.Shanghai).Format("0102")
	return message{"txnAmt": fen, "currencyCode": "156", "settleAmt": fen, "settleCurrencyCode": "156", "settleDate": day,
		"traceNo": "067402", "traceTime": at.In(clock.Shanghai).Format("0102150405"), "accNo": "6226********0048"}
}

// messages are the codes and UnionPay's words for them.
var messages = map[string]string{
	"00": "成功[0000000]",
	"02": "系统未开放或暂时关闭，请稍后再试[2000002]",
	"05": "交易已受理，请稍后查询交易结果[6154037]",
	"10": "报文格式错误[6100030]",
	"11": "验证签名失败[9100004]",
	"12": "重复交易[2040004]",
	"33": "交易金额超限[3111133]",
	"34": "查无此交易[2600000]",
	"35": "原交易不存在或状态不正确[2011000]",
	"36": "与原交易信息不符[2050004]",
	"38": "银联风险受限[3000038]",
	"39": "交易不在受理时间范围内[2020009]",
	"45": "原交易已被成功退货或已被成功撤销[3042045]",
	"61": "输入的卡号无效，请确认后输入[1000061]",
	"63": "卡状态不正确[1000063]",
	"73": "支付卡已超过有效期[1000073]",
}

// failures are the codes that end a refund which was taken.
var failures = []string{"33", "35", "36", "38", "45", "61", "63", "73"}

// respCode is UnionPay's code for a refund's state: of a failure the code that its reason begins with, if it
// begins with one.
func respCode(state channel.RefundState, reason string) string {
	switch state {
	case channel.RefundSucceeded:
		return "00"
	case channel.RefundProcessing:
		return "05"
	case channel.RefundFailed:
		if code := reason[:min(2, len(reason))]; slices.Contains(failures, code) {
			return code
		}
	}
	return "63"
}

// queryID is a number of 21 digits that a notice can name without asking the desk.
func queryID(number string) string {
	hash := sha256.Sum256([]byte(number))
	digits := ""
	for _, b := range hash[:21] {
		digits += strconv.Itoa(int(b) % 10)
	}
	return digits
}

// wireTime is a time as UnionPay writes it, in whole seconds.
func wireTime(at time.Time) string { return at.In(clock.Shanghai).Format("20060102150405") }
