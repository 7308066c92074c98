package unionpay

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"unicode"

	"github.com/settled-dev/settled/channel"
)

// answerBytesMax bounds what is read of an answer.
const answerBytesMax = 1 << 20

// AnswerError is an answer that tells nothing certain of a refund or a payment: it is unknown, and asked about again. Code is empty when the answer
// was none of UnionPay's, such as a proxy's.
type AnswerError struct {
	Status  int    // of HTTP
	Code    string // of UnionPay, e.g. 12
	Message string // UnionPay's words for people, cut short
}

// Error implements error.
func (e *AnswerError) Error() string {
	if e.Code == "" {
		return fmt.Sprintf("answered %d", e.Status)
	}
	return fmt.Sprintf("answered %d %s %q", e.Status, e.Code, e.Message)
}

// refusal words an answer by the code and the message of the named fields.
func refusal(f fields, codeName, messageName string) *AnswerError {
	r := reading{fields: f}
	code := r.id(codeName)
	if r.err != nil {
		return &AnswerError{Status: http.StatusOK}
	}
	const shown = 100 // characters: the documented messages are shorter
	message := []rune(strings.ToValidUTF8(f.get(messageName), "?"))
	message = message[:min(len(message), shown)]
	for i, char := range message {
		if !unicode.IsPrint(char) {
			message[i] = ' '
		}
	}
	return &AnswerError{Status: http.StatusOK, Code: code, Message: string(message)}
}

// problem is the refusal of a verified answer as an error of Refund, Query and QueryPayment. channel.ErrRefused is beside it (C5 of package channel) but
// for respCodes that speak of no refund: 02 and 06, UnionPay is closed or busy; 11, it does not know our signature; 37, it was asked too
// often. 31, 32 and 43 speak of the merchant.
func problem(f fields, codeName, messageName string) error {
	refused := refusal(f, codeName, messageName)
	switch refused.Code {
	case "":
		return refused
	case "02", "06", "11", "37":
		if codeName == "respCode" {
			return refused
		}
	case "31", "32", "43": // its state, its rights; of a refund's end they are failures
		if codeName == "respCode" {
			return fmt.Errorf("%w: %w", channel.ErrMerchantRefused, refused)
		}
	}
	return fmt.Errorf("%w: %w", channel.ErrRefused, refused)
}

// call sends a signed request and returns its answer, which it has verified.
func (c *Channel) call(ctx context.Context, address string, request map[string]string) (fields, error) {
	body, err := c.word(request)
	if err != nil {
		return nil, fmt.Errorf("sign the request: %w", err)
	}
	post, err := http.NewRequestWithContext(ctx, http.MethodPost, address, strings.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("make the request: %w", err)
	}
	post.Header.Set("Content-Type", "application/x-www-form-urlencoded;charset=UTF-8")
	response, err := c.client.Do(post)
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }() // it was read; there is nothing to lose
	if response.StatusCode != http.StatusOK {
		return nil, &AnswerError{Status: response.StatusCode}
	}
	text, err := io.ReadAll(io.LimitReader(response.Body, answerBytesMax+1))
	if err != nil {
		return nil, fmt.Errorf("read the answer: %w", err)
	}
	if len(text) > answerBytesMax {
		return nil, fmt.Errorf("%w: answer has more than %d bytes", channel.ErrMalformed, answerBytesMax)
	}
	answer, err := parseAnswer(string(text))
	if err != nil {
		return nil, fmt.Errorf("%w: answer %w", channel.ErrMalformed, err)
	}
	err = c.signers.verify(answer, c.clock.Now())
	if err != nil && answer.get(signatureField) == "" {
		return nil, fmt.Errorf("verify answer: %w: %w", err, refusal(answer, "respCode", "respMsg")) // it may say what is wrong with us
	}
	if err != nil {
		return nil, fmt.Errorf("verify answer: %w", err)
	}
	return answer, nil
}

// word adds what every request has, signs it and encodes it as a form.
func (c *Channel) word(request map[string]string) (string, error) {
	message := fields{{"accessType", "0"}, {"certId", c.certID}, {"encoding", "UTF-8"}, {"merId", c.merID}, {"signMethod", signMethod},
		{"version", version}}
	for name, value := range request {
		message = append(message, field{name, value})
	}
	message, err := message.ended()
	if err != nil {
		return "", err
	}
	signature, err := message.sign(c.merchantKey)
	if err != nil {
		return "", err
	}
	form := url.Values{signatureField: {signature}}
	for _, field := range message {
		form.Set(field.name, field.value)
	}
	return form.Encode(), nil
}
