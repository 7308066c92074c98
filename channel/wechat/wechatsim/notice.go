package wechatsim

import (
	"cmp"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/settled-dev/settled/channel"
	"github.com/settled-dev/settled/channel/simulate"
	"github.com/settled-dev/settled/internal/clock"
)

// envelope is the body of a notice.
type envelope struct {
	ID           string   `json:"id"`
	CreateTime   string   `json:"create_time"`
	ResourceType string   `json:"resource_type"`
	EventType    string   `json:"event_type"`
	Summary      string   `json:"summary"`
	Resource     resource `json:"resource"`
}

type resource struct {
	OriginalType   string `json:"original_type"`
	Algorithm      string `json:"algorithm"`
	Ciphertext     string `json:"ciphertext"`
	AssociatedData string `json:"associated_data"`
	Nonce          string `json:"nonce"`
}

// Notice implements simulate.Dialect. Merchant, app and id are made up where the notice has none. EventOther is sent as the use of a
// coupon. There is no notice of an order that was closed, nor of a refund that is processing: those are simulate.ErrNoNotice, wrapped.
func (c *Channel) Notice(notice channel.Notice, now time.Time) (simulate.Message, error) {
	notice.MerchantID, notice.AppID = cmp.Or(notice.MerchantID, MerchantID), cmp.Or(notice.AppID, AppID)
	message := envelope{ID: cmp.Or(notice.ID, messageID(notice)), CreateTime: wireTime(notice.OccurredAt), ResourceType: "encrypt-resource"}
	var original string
	var content map[string]any
	switch {
	case notice.Event == channel.EventPaid:
		message.EventType, message.Summary, original = "TRANSACTION.SUCCESS", "支付成功", "transaction"
		content = paymentContent(notice)
	case notice.Event == channel.EventRefund && notice.Refund.State != channel.RefundProcessing:
		status := refundStatus(notice.Refund.State, notice.Refund.Reason)
		message.EventType, original = "REFUND."+status, "refund"
		message.Summary = map[string]string{"SUCCESS": "退款成功", "ABNORMAL": "退款异常", "CLOSED": "退款关闭"}[status]
		content = refundContent(notice, status)
	case notice.Event == channel.EventOther:
		message.EventType, message.Summary, original = "COUPON.USE", "代金券核销", "coupon"
		content = map[string]any{"stock_creator_mchid": notice.MerchantID, "stock_id": "1", "coupon_id": "1"}
	default:
		return simulate.Message{}, fmt.Errorf("%w: %s %s", simulate.ErrNoNotice, notice.Event, notice.Refund.State)
	}
	sealed, err := c.seal(original, content)
	if err != nil {
		return simulate.Message{}, err
	}
	message.Resource = sealed
	body, err := json.Marshal(message)
	if err != nil {
		return simulate.Message{}, fmt.Errorf("word the notice: %w", err)
	}
	header := http.Header{"Content-Type": {"application/json"}}
	return simulate.Message{Header: header, Body: body}, c.signer("").sign(header, body, now)
}

// Probe is a notice with the kind of signature that WeChat Pay makes wrong on purpose. A merchant must not acknowledge it.
func (c *Channel) Probe(notice channel.Notice, now time.Time) (simulate.Message, error) {
	message, err := c.Notice(notice, now)
	if err == nil {
		message.Header.Set("Wechatpay-Signature", "WECHATPAY/SIGNTEST/"+message.Header.Get("Wechatpay-Signature"))
	}
	return message, err
}

func paymentContent(notice channel.Notice) map[string]any {
	fen := notice.Amount.Fen()
	return map[string]any{"mchid": notice.MerchantID, "appid": notice.AppID, "out_trade_no": notice.OutTradeNo,
		"transaction_id": notice.ChannelTxnID, "trade_type": "JSAPI", "trade_state": "SUCCESS", "trade_state_desc": "支付成功",
		"bank_type": "OTHERS", "attach": "", "success_time": wireTime(notice.OccurredAt),
		"payer":  map[string]any{"openid": "oUpF8uMuAJO_M2pxb1Q9zNjWeS6o"},
		"amount": map[string]any{"total": fen, "payer_total": fen, "currency": "CNY", "payer_currency": "CNY"}}
}

func refundContent(notice channel.Notice, status string) map[string]any {
	fen := notice.Amount.Fen()
	content := map[string]any{"mchid": notice.MerchantID, "out_trade_no": notice.OutTradeNo, "transaction_id": notice.ChannelTxnID,
		"out_refund_no": notice.RefundNumber, "refund_id": channelRefundID(notice.RefundNumber), "refund_status": status,
		"user_received_account": "支付用户零钱",
		"amount":                map[string]any{"total": fen, "refund": fen, "payer_total": fen, "payer_refund": fen}}
	if status == "SUCCESS" {
		content["success_time"] = wireTime(notice.Refund.EndedAt)
	}
	return content
}

// refundStatus is WeChat Pay's word for a refund's state.
func refundStatus(state channel.RefundState, reason string) string {
	switch state {
	case channel.RefundSucceeded:
		return "SUCCESS"
	case channel.RefundProcessing:
		return "PROCESSING"
	case channel.RefundFailed:
		if reason == "CLOSED" {
			return "CLOSED"
		}
	}
	return "ABNORMAL"
}

// seal encrypts the content of a notice with the merchant's APIv3 key.
func (c *Channel) seal(original string, content map[string]any) (resource, error) {
	plaintext, err := json.Marshal(content)
	if err != nil {
		return resource{}, fmt.Errorf("word the notice's content: %w", err)
	}
	block, err := aes.NewCipher([]byte(c.apiV3Key))
	if err != nil {
		return resource{}, fmt.Errorf("make the cipher: %w", err)
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		return resource{}, fmt.Errorf("make the cipher: %w", err)
	}
	nonce := rand.Text()[:gcm.NonceSize()]
	return resource{OriginalType: original, Algorithm: "AEAD_AES_256_GCM", AssociatedData: original, Nonce: nonce,
		Ciphertext: base64.StdEncoding.EncodeToString(gcm.Seal(nil, []byte(nonce), plaintext, []byte(original)))}, nil
}

// messageID is the same for each delivery of what happened, in the form of a UUID.
func messageID(notice channel.Notice) string {
	hash := sha256.Sum256(fmt.Appendf(nil, "%s/%s/%s/%s", notice.Event, notice.ChannelTxnID, notice.RefundNumber, notice.Refund.State))
	return fmt.Sprintf("%x-%x-%x-%x-%x", hash[0:4], hash[4:6], hash[6:8], hash[8:10], hash[10:16])
}

// channelRefundID is a refund_id that a notice can name without asking the desk.
func channelRefundID(number string) string {
	hash := sha256.Sum256([]byte(number))
	return fmt.Sprintf("5030%x", hash[:12])
}

// wireTime is a time as WeChat Pay writes it, in whole seconds.
func wireTime(at time.Time) string { return at.In(clock.Shanghai).Format(time.RFC3339) }
