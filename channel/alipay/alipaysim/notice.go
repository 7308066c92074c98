package alipaysim

import (
	"cmp"
	"crypto/sha256"
	"fmt"
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

// Notice implements simulate.Dialect. Merchant, app and id are made up where the notice has none. EventOther is sent as a trade that
// waits for its payer. A refund's notice names the payment's amount and time as the desk of the last Handler knows them, and without
// them it is one of a full refund. A refund that failed or is processing is simulate.ErrNoNotice.
func (c *Channel) Notice(notice channel.Notice, now time.Time) (simulate.Message, error) {
	fields := map[string]string{"notify_type": "trade_status_sync", "notify_id": cmp.Or(notice.ID, messageID(notice)),
		"notify_time": wireTime(now), "app_id": cmp.Or(notice.AppID, AppID), "auth_app_id": cmp.Or(notice.AppID, AppID),
		"charset": "utf-8", "version": "1.0", "sign_type": "RSA2", "trade_no": notice.ChannelTxnID, "out_trade_no": notice.OutTradeNo,
		"seller_id": cmp.Or(notice.MerchantID, SellerID), "seller_email": "shop@example.com", "buyer_id": "2088102122524333",
		"buyer_logon_id": "180****0062", "subject": "充值", "body": "", // empty, and signed all the same
		"total_amount": notice.Amount.String(), "gmt_create": wireTime(notice.OccurredAt)}
	switch {
	case notice.Event == channel.EventPaid:
		fields["trade_status"], fields["gmt_payment"] = "TRADE_SUCCESS", wireTime(notice.OccurredAt)
		fields["receipt_amount"], fields["buyer_pay_amount"] = notice.Amount.String(), notice.Amount.String()
		fields["invoice_amount"], fields["point_amount"] = notice.Amount.String(), "0.00"
		fields["fund_bill_list"] = `[{"amount":"` + notice.Amount.String() + `","fundChannel":"ALIPAYACCOUNT"}]`
	case notice.Event == channel.EventClosed:
		fields["trade_status"], fields["gmt_close"] = "TRADE_CLOSED", wireTime(notice.OccurredAt)
	case notice.Event == channel.EventRefund && notice.Refund.State == channel.RefundSucceeded:
		c.addRefund(fields, notice)
	case notice.Event == channel.EventOther:
		fields["trade_status"] = "WAIT_BUYER_PAY"
	default:
		return simulate.Message{}, fmt.Errorf("%w: %s %s", simulate.ErrNoNotice, notice.Event, notice.Refund.State)
	}
	return c.signForm(fields)
}

// addRefund adds the fields of a refund, and those that say how much of the payment is left.
func (c *Channel) addRefund(fields map[string]string, notice channel.Notice) {
	total := refundedTotal(notice.RefundedTotal, notice.Amount)
	payment := simulate.Payment{Amount: total, PaidAt: notice.OccurredAt}
	c.mu.RLock()
	desk := c.desk
	c.mu.RUnlock()
	if desk != nil {
		if known, found := desk.Payment(notice.ChannelTxnID, notice.OutTradeNo); found {
			payment = known
		}
	}
	fields["trade_status"], fields["total_amount"] = "TRADE_SUCCESS", payment.Amount.String()
	fields["gmt_payment"], fields["gmt_refund"] = wireTime(payment.PaidAt), wireTime(notice.OccurredAt)+notice.OccurredAt.Format(".000")
	fields["out_biz_no"], fields["refund_fee"] = notice.RefundNumber, total.String()
	if total.Cmp(payment.Amount) >= 0 {
		fields["trade_status"], fields["gmt_close"] = "TRADE_CLOSED", wireTime(notice.OccurredAt)
	}
}

// refundedTotal is the total that is known, and at least the one refund.
func refundedTotal(total, amount money.Amount) money.Amount {
	if total.Cmp(amount) < 0 {
		return amount
	}
	return total
}

// signForm makes the message of signed fields.
func (c *Channel) signForm(fields map[string]string) (simulate.Message, error) {
	var text []string
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		if name != "sign_type" {
			text = append(text, name+"="+fields[name])
		}
	}
	key := c.signer()
	signature, err := key.sign([]byte(strings.Join(text, "&")))
	if err != nil {
		return simulate.Message{}, err
	}
	form := url.Values{"sign": {signature}}
	if key.serial != "" {
		form.Set("alipay_cert_sn", key.serial)
	}
	for name, value := range fields {
		form.Set(name, value)
	}
	return simulate.Message{Header: http.Header{"Content-Type": {"application/x-www-form-urlencoded; charset=utf-8"}},
		Body: []byte(form.Encode())}, nil
}

// messageID is the same for each delivery of what happened.
func messageID(notice channel.Notice) string {
	hash := sha256.Sum256(fmt.Appendf(nil, "%s/%s/%s", notice.Event, notice.ChannelTxnID, notice.RefundNumber))
	return fmt.Sprintf("%x", hash[:17])
}

// wireTime is a time as Alipay writes it, in whole seconds of Shanghai's time.
func wireTime(at time.Time) string { return at.In(clock.Shanghai).Format(time.DateTime) }
