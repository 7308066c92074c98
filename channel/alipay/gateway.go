package alipay

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/settled-dev/settled/channel"
	"github.com/settled-dev/settled/channel/strictjson"
	"github.com/settled-dev/settled/internal/clock"
)

// answerBytesMax bounds what is read of an answer.
const answerBytesMax = 1 << 20

// call asks for a method and reads the answer, which it has tried to verify.
func (c *Channel) call(ctx context.Context, method string, content any) (*answer, error) {
	values, err := c.word(method, content)
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.gatewayURL, strings.NewReader(values.Encode()))
	if err != nil {
		return nil, fmt.Errorf("make the request: %w", err)
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded;charset=utf-8")
	request.Header.Set("User-Agent", "settled")
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
	return c.readAnswer(response.StatusCode, text, method), nil
}

// word makes the signed parameters of a request.
func (c *Channel) word(method string, content any) (url.Values, error) {
	body, err := json.Marshal(content)
	if err != nil {
		return nil, fmt.Errorf("word the request: %w", err)
	}
	parameters := map[string]string{"app_id": c.appID, "method": method, "format": "JSON", "charset": "utf-8", "sign_type": signType,
		"timestamp": c.clock.Now().In(clock.Shanghai).Format(timeForm), "version": "1.0", "biz_content": string(body)}
	if c.appSerial != "" {
		parameters["app_cert_sn"], parameters["alipay_root_cert_sn"] = c.appSerial, c.rootSerial
	}
	var text []string // unlike in notices, sign_type is signed; nothing is empty
	values := url.Values{}
	for _, name := range slices.Sorted(maps.Keys(parameters)) {
		text = append(text, name+"="+parameters[name])
		values.Set(name, parameters[name])
	}
	sum := sha256.Sum256([]byte(strings.Join(text, "&")))
	signature, err := rsa.SignPKCS1v15(rand.Reader, c.appKey, crypto.SHA256, sum[:])
	if err != nil {
		return nil, fmt.Errorf("sign the request: %w", err)
	}
	values.Set("sign", base64.StdEncoding.EncodeToString(signature))
	return values, nil
}

// readAnswer takes the node of the method out of an answer, and verifies it as it was written. A gateway that does not know app or
// method answers in a node error_response, which is read for its code and never believed.
func (c *Channel) readAnswer(status int, text []byte, method string) *answer {
	read := &answer{status: status, verified: fmt.Errorf("%w: there is no signed node of the method", channel.ErrNotGenuine)}
	content, err := strictjson.Parse(text)
	if err != nil {
		return read
	}
	node := content.Get(strings.ReplaceAll(method, ".", "_") + "_response")
	if node.Kind != strictjson.Fields {
		read.node = object(content.Get("error_response").Fields)
		return read
	}
	read.node = object(node.Fields)
	r := &reading{from: object(content)}
	signature, serial := r.optional("sign"), r.optional("alipay_cert_sn")
	if signature != "" && r.err == nil {
		read.verified = c.keys.verify([]byte(node.Raw), signature, serial, c.clock.Now())
	}
	return read
}
