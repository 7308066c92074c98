package wechat

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"unicode"

	"github.com/settled-dev/settled/channel"
	"github.com/settled-dev/settled/channel/strictjson"
)

// answerBytesMax bounds what is read of an answer.
const answerBytesMax = 1 << 20

// The documented codes that decide something.
const (
	codeAccountAbnormal = "USER_ACCOUNT_ABNORMAL" // the payer's account is void: the refund has failed
	codeNotExists       = "RESOURCE_NOT_EXISTS"
	codeNoOrder         = "ORDER_NOT_EXIST" // of a payment, and spelled otherwise
)

// answer is what came back from WeChat Pay.
type answer struct {
	status   int
	body     []byte
	signed   bool  // some signature is there
	verified error // nil: the signature is right
}

// AnswerError is an answer that tells nothing certain of a refund or a payment: it is unknown, and asked about again. Code is empty when the answer
// was none of WeChat Pay's, such as a proxy's.
type AnswerError struct {
	Status  int    // of HTTP
	Code    string // documented by WeChat Pay, e.g. NOT_ENOUGH
	Message string // WeChat Pay's words for people, cut short
}

// Error implements error.
func (e *AnswerError) Error() string {
	if e.Code == "" {
		return fmt.Sprintf("answered %d", e.Status)
	}
	return fmt.Sprintf("answered %d %s %q", e.Status, e.Code, e.Message)
}

// knowsNone says that WeChat Pay has never seen the number that was asked about, by the code for it. An answer without a signature is
// believed too, for the gateway does not sign all of its refusals: nothing moves by it, and a number is safe to be asked for again.
func (a *answer) knowsNone(refusal *AnswerError, code string) bool {
	return refusal.Status == http.StatusNotFound && refusal.Code == code && (a.verified == nil || !a.signed)
}

// refusal reads an answer of another status than 200, signed or not.
func (a *answer) refusal() *AnswerError {
	refusal := &AnswerError{Status: a.status}
	content, err := strictjson.Parse(a.body)
	if err != nil {
		return refusal
	}
	var r reading
	code, message := r.id(content, "code"), []rune(r.optionalText(content, "message"))
	if r.err != nil {
		return refusal
	}
	const shown = 100 // characters: the documented messages are shorter
	refusal.Code = code
	for i, char := range message[:min(len(message), shown)] {
		if !unicode.IsPrint(char) {
			message[i] = ' '
		}
	}
	refusal.Message = string(message[:min(len(message), shown)])
	return refusal
}

// problem is a refusal as an error of Refund, Query and QueryPayment: channel.ErrRefused is beside it when WeChat Pay has signed it and its
// code speaks of what was asked (C5 of package channel).
func (a *answer) problem(refusal *AnswerError) error {
	switch {
	case a.verified != nil || !refusal.speaksOfRefund():
		return refusal
	case refusal.speaksOfMerchant():
		return fmt.Errorf("%w: %w", channel.ErrMerchantRefused, refusal)
	default:
		return fmt.Errorf("%w: %w", channel.ErrRefused, refusal)
	}
}

// speaksOfMerchant is true of a merchant that has no money for refunds, no right to make them, or is not known.
func (e *AnswerError) speaksOfMerchant() bool {
	switch e.Code {
	case "NOT_ENOUGH", "NO_AUTH", "MCH_NOT_EXISTS":
		return true
	}
	return false
}

// speaksOfRefund is false for what says that WeChat Pay is busy (429 FREQUENCY_LIMITED, 500 SYSTEM_ERROR) or does not know our signature
// (401 SIGN_ERROR).
func (e *AnswerError) speaksOfRefund() bool {
	switch e.Code {
	case "", "SYSTEM_ERROR", "BANK_ERROR", "FREQUENCY_LIMITED", "SIGN_ERROR":
		return false
	}
	return e.Status >= http.StatusBadRequest && e.Status < http.StatusInternalServerError && e.Status != http.StatusUnauthorized &&
		e.Status != http.StatusTooManyRequests
}

// call sends a signed request and reads its answer, which it has tried to verify.
func (c *Channel) call(ctx context.Context, method, path string, body []byte) (*answer, error) {
	request, err := http.NewRequestWithContext(ctx, method, c.baseURL+path, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("make the request: %w", err)
	}
	authorization, err := c.authorize(method, request.URL.RequestURI(), body)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Authorization", authorization)
	request.Header.Set("Accept", "application/json")
	request.Header.Set("User-Agent", "settled") // required to be there
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	if c.answerSerial != "" {
		request.Header.Set("Wechatpay-Serial", c.answerSerial) // the answer shall be signed with this key
	}
	response, err := c.client.Do(request)
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }() // it was read; there is nothing to lose
	text, err := io.ReadAll(io.LimitReader(response.Body, answerBytesMax+1))
	if err != nil {
		return nil, fmt.Errorf("read the answer: %w", err)
	}
	if len(text) > answerBytesMax {
		return nil, fmt.Errorf("answer has more than %d bytes", answerBytesMax)
	}
	return &answer{status: response.StatusCode, body: text, signed: len(response.Header["Wechatpay-Signature"]) > 0,
		verified: c.keys.verify(response.Header, text, c.clock.Now())}, nil
}

// authorize signs a request: its method, path with query, time, nonce and body.
func (c *Channel) authorize(method, uri string, body []byte) (string, error) {
	timestamp, nonce := strconv.FormatInt(c.clock.Now().Unix(), 10), rand.Text()
	signed := digest([]byte(method), []byte(uri), []byte(timestamp), []byte(nonce), body)
	signature, err := rsa.SignPKCS1v15(rand.Reader, c.merchantKey, crypto.SHA256, signed)
	if err != nil {
		return "", fmt.Errorf("sign the request: %w", err)
	}
	return fmt.Sprintf(`%s mchid="%s",nonce_str="%s",timestamp="%s",serial_no="%s",signature="%s"`, signatureType,
		c.mchID, nonce, timestamp, c.merchantSerial, base64.StdEncoding.EncodeToString(signature)), nil
}
