package ecnysim

import (
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/settled-dev/settled/channel"
	"github.com/settled-dev/settled/channel/simulate"
	"github.com/settled-dev/settled/internal/clock"
)

// Notice implements simulate.Dialect. The merchant is made up where the notice has none. The bank tells of payments and refunds that
// succeeded and of nothing else: EventClosed is simulate.ErrNoNotice, and so is a refund that failed or is processing. EventOther is
// sent as a payment in progress. A notice with TimeUnknown leaves the time of its end out.
func (c *Channel) Notice(notice channel.Notice, _ time.Time) (simulate.Message, error) {
	content := map[string]string{"merId": cmp.Or(notice.MerchantID, MerchantID), "userId": UserID, "currencyCode": "156", "payType": "EC",
		"thirdOrderId": hashed("EC", notice.OutTradeNo+notice.RefundNumber)}
	at := notice.OccurredAt
	switch {
	case notice.Event == channel.EventPaid, notice.Event == channel.EventOther:
		content["orderId"], content["cmbOrderId"] = cmp.Or(notice.OutTradeNo, "other"), cmp.Or(notice.ChannelTxnID, "0")
		content["txnAmt"], content["dscAmt"] = fen(max(1, notice.Amount.Fen())), "0"
		if notice.Event == channel.EventOther {
			content["tradeState"] = "P"
		}
	case notice.Event == channel.EventRefund && notice.Refund.State == channel.RefundSucceeded:
		content["orderId"], content["cmbOrderId"] = notice.RefundNumber, hashed("0052", notice.RefundNumber)
		content["refundAmt"], content["refundDscAmt"] = fen(notice.Amount.Fen()), "0"
	default:
		return simulate.Message{}, fmt.Errorf("%w: %s %s", simulate.ErrNoNotice, notice.Event, notice.Refund.State)
	}
	content["txnTime"] = at.In(clock.Shanghai).Format("20060102150405")
	if !notice.TimeUnknown {
		content["endDate"], content["endTime"] = content["txnTime"][:8], content["txnTime"][8:]
	}
	text, err := json.Marshal(content)
	if err != nil {
		return simulate.Message{}, fmt.Errorf("word the notice: %w", err)
	}
	sent := message{"biz_content": string(text)}
	if err := sent.sign(c.signer()); err != nil {
		return simulate.Message{}, err
	}
	form := url.Values{}
	for name, value := range sent {
		form.Set(name, value)
	}
	return simulate.Message{Header: http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}, Body: []byte(form.Encode())}, nil
}

func fen(amount int64) string { return strconv.FormatInt(amount, 10) }

// hashed is a number that looks like the bank's own and is the same each time, so that a notice can name it without asking the desk.
func hashed(prefix, of string) string {
	hash := sha256.Sum256([]byte(of))
	return fmt.Sprintf("%s%x", prefix, hash[:12])
}
