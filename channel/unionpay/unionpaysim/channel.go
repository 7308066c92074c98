package unionpaysim

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/settled-dev/settled/channel/simulate"
	"github.com/settled-dev/settled/internal/clock"
	"github.com/settled-dev/settled/tasks"
)

// MerchantID is the one merchant's.
const MerchantID = "777290058110048"

// The paths of the interfaces.
const (
	backTransPath  = "/gateway/api/backTransReq.do"
	queryTransPath = "/gateway/api/queryTrans.do"
)

var _ simulate.KeyedDialect = (*Channel)(nil)

// Channel is a simulated UnionPay with one merchant. Its methods may be called at the same time.
type Channel struct {
	clock                  clock.Clock
	root, middle, merchant certified

	mu     sync.RWMutex
	signer certified
}

// New makes a simulated UnionPay and its keys. The clock dates its certificates.
func New(clock clock.Clock) (*Channel, error) {
	c := &Channel{clock: clock}
	var err error
	if c.root, err = certify(c.authority("SIMULATED ROOT CA", rootYears), nil); err != nil {
		return nil, err
	}
	if c.middle, err = certify(c.authority("SIMULATED OCA1", middleYears), &c.root); err != nil {
		return nil, err
	}
	if c.merchant, err = certify(c.signing("041@"+MerchantID+"@SIMULATED MERCHANT@00000001"), &c.middle); err != nil {
		return nil, err
	}
	return c, c.Rotate()
}

// Source implements simulate.Dialect.
func (c *Channel) Source() tasks.Source { return tasks.SourceUnionPay }

// MerchantSettings implements simulate.Dialect: it writes the merchant's certificate and key, and the certificates of the authority, to
// files in the directory. back_url is a name below the base URL only: whoever sends the notices knows where the merchant takes them.
func (c *Channel) MerchantSettings(dir, baseURL string) ([]byte, error) {
	key, err := x509.MarshalPKCS8PrivateKey(c.merchant.key)
	if err != nil {
		return nil, fmt.Errorf("encode the merchant's key: %w", err)
	}
	for name, content := range map[string][]byte{"acp_sign_key.pem": encodePEM("PRIVATE KEY", key),
		"acp_sign.pem": c.merchant.pem(), "acp_middle.cer": c.middle.pem(), "acp_root.cer": c.root.pem()} {
		if err := simulate.WriteFile(filepath.Join(dir, name), content); err != nil {
			return nil, fmt.Errorf("write the merchant's files: %w", err)
		}
	}
	base := strings.TrimRight(baseURL, "/")
	return json.MarshalIndent(map[string]any{"mer_id": MerchantID, "merchant_certificate_file": "acp_sign.pem",
		"merchant_key_file": "acp_sign_key.pem", "root_files": []string{"acp_root.cer"}, "middle_files": []string{"acp_middle.cer"},
		"back_trans_url": base + backTransPath, "query_trans_url": base + queryTransPath,
		"back_url": base + "/v1/notices/unionpay"}, "", "  ")
}

func encodePEM(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

// Acknowledged implements simulate.Dialect: the status decides, whatever the body says.
func (c *Channel) Acknowledged(status int, _ []byte) bool { return status == http.StatusOK }

// Redeliveries implements simulate.Dialect: four, five deliveries in all.
func (c *Channel) Redeliveries() []time.Duration {
	return []time.Duration{time.Minute, 2 * time.Minute, 4 * time.Minute, 5 * time.Minute}
}

// AnswerWithin implements simulate.Dialect.
func (c *Channel) AnswerWithin() time.Duration { return 10 * time.Second }

// merchantKey verifies the merchant's requests.
func (c *Channel) merchantKey() *rsa.PublicKey { return &c.merchant.key.PublicKey }
