package ecny

import (
	"bytes"
	"context"
	"crypto/md5" //nolint:gosec // the bank's choice for a header; what protects a request is its SM2 signature
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"unicode"

	"github.com/settled-dev/settled/channel"
	"github.com/settled-dev/settled/channel/strictjson"
)

// answerBytesMax bounds what is read of an answer.
const answerBytesMax = 1 << 20

// AnswerError is an answer that tells nothing certain of a refund or a payment: it is unknown, and asked about again. Code is empty when the answer
// was none of the bank's, such as a proxy's.
type AnswerError struct {
	Status  int    // of HTTP
	Code    string // documented by the bank, e.g. NOT_ENOUGH or SYSTERM_ERROR, which is spelled so
	Message string // the bank's words for people, cut short
}

// Error implements error.
func (e *AnswerError) Error() string {
	if e.Code == "" {
		return fmt.Sprintf("answered %d", e.Status)
	}
	return fmt.Sprintf("answered %d %s %q", e.Status, e.Code, e.Message)
}

// done says whether the bank has done what it was asked.
func (e envelope) done() bool { return e[fieldReturnCode] == success && e[fieldRespCode] == success }

// refuses says whether the bank has understood the question and refuses it for that reason.
func (e envelope) refuses(code string) bool {
	return e[fieldReturnCode] == success && e[fieldRespCode] == fail && e[fieldErrCode] == code
}

// refusal is an answer that is not done, signed or not.
func (e envelope) refusal() *AnswerError {
	const shown = 100 // characters
	code, message := e[fieldErrCode], []rune(e[fieldRespMsg])
	if len(code) > idBytesMax || !printable(code) {
		code = ""
	}
	message = message[:min(len(message), shown)]
	for i, char := range message {
		if !unicode.IsPrint(char) {
			message[i] = ' '
		}
	}
	return &AnswerError{Status: http.StatusOK, Code: code, Message: string(message)}
}

// problem is an answer that is not done as an error of Refund, Query and QueryPayment. The bank's signature is on it, so channel.ErrRefused is beside it
// when the bank has understood the question, and does not say that it is the bank that is out of order (C5 of package channel).
func (e envelope) problem() error {
	refusal := e.refusal()
	switch refusal.Code {
	case "", "SYSTERM_ERROR", "SYSTERM_MAINTAINING", "SYSTEM_ERROR":
		return refusal
	}
	if !e.refuses(refusal.Code) {
		return refusal
	}
	if refusal.Code == "NOT_ENOUGH" || strings.HasPrefix(refusal.Code, "MCH_") { // of the merchant's money and account
		return fmt.Errorf("%w: %w", channel.ErrMerchantRefused, refusal)
	}
	return fmt.Errorf("%w: %w", channel.ErrRefused, refusal)
}

// about reads the content of a genuine answer and requires it to be about the refund or the order of that number (E6). Not required, it may leave
// out whom and what it is about, and may have no content at all.
func (c *Channel) about(e envelope, number string, required bool) *reading {
	r := &reading{}
	if text := e[fieldContent]; text != "" || required {
		content, err := strictjson.Parse([]byte(text))
		if err != nil {
			r.refuse(fieldContent, err.Error())
		}
		r.content = content
	}
	r.same("merId", c.merID, required)
	r.same("orderId", number, required)
	return r
}

// call sends a signed request and returns its genuine answer. Errors: an *AnswerError, channel.ErrNotGenuine and ErrMalformed, wrapped, and
// those of the HTTP client.
func (c *Channel) call(ctx context.Context, path string, content map[string]string) (envelope, error) {
	text, err := json.Marshal(content)
	if err != nil {
		return nil, fmt.Errorf("word the request: %w", err)
	}
	asked := envelope{fieldContent: string(text)}
	body, err := asked.seal(c.merchantKey)
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.baseURL+path, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("make the request: %w", err)
	}
	timestamp := strconv.FormatInt(c.clock.Now().Unix(), 10)
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("appid", c.appID)
	request.Header.Set("timestamp", timestamp)
	request.Header.Set("apisign", apiSign(c.appID, c.appSecret, asked[fieldSign], timestamp))
	response, err := c.client.Do(request)
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }() // it was read; there is nothing to lose
	answer, err := io.ReadAll(io.LimitReader(response.Body, answerBytesMax+1))
	if err != nil {
		return nil, fmt.Errorf("read the answer: %w", err)
	}
	if response.StatusCode != http.StatusOK {
		return nil, &AnswerError{Status: response.StatusCode}
	}
	if len(answer) > answerBytesMax {
		return nil, fmt.Errorf("answer has more than %d bytes", answerBytesMax)
	}
	return c.open(answer)
}

// open reads the body of an answer of status 200 and verifies it.
func (c *Channel) open(body []byte) (envelope, error) {
	answer, err := parseAnswer(body)
	if err != nil {
		return nil, fmt.Errorf("%w: answer %w", channel.ErrMalformed, err)
	}
	err = answer.verify(c.bankKeys)
	if _, signed := answer[fieldSign]; !signed && answer[fieldReturnCode] == fail {
		return nil, answer.refusal() // a question that the bank could not read may be refused without a signature: it tells nothing
	}
	if err != nil {
		return nil, fmt.Errorf("verify answer: %w", err)
	}
	return answer, nil
}

// apiSign is the header that ties a request to the app.
func apiSign(appID, appSecret, signature, timestamp string) string {
	text := "appid=" + appID + "&secret=" + appSecret + "&sign=" + signature + "&timestamp=" + timestamp
	sum := md5.Sum([]byte(text)) //nolint:gosec // as above
	return hex.EncodeToString(sum[:])
}
