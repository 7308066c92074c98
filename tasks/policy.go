package tasks

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/settled-dev/settled/money"
)

// RefundSplit says how a refund that names no lines is spread over an order's legs.
type RefundSplit string

// The ways to split a refund; no leg ever gives back more than remains on it.
const (
	// Proportional spreads by what remains on each leg, by largest remainder.
	Proportional RefundSplit = "proportional"
	// ExternalFirst empties the channels' legs before the balance's.
	ExternalFirst RefundSplit = "external_first"
	// BalanceFirst empties the balance's legs before the channels'.
	BalanceFirst RefundSplit = "balance_first"
)

// Product is a wealth product that idle balance can be swept into.
type Product struct {
	ProductID string       `json:"product_id"`
	MinSweep  money.Amount `json:"min_sweep"` // a smaller surplus stays in the balance
}

// RefundLimit is what a channel allows of refunds of one payment. Zero means that it sets no limit.
type RefundLimit struct {
	DaysMax    int `json:"days_max"`    // days of 24 hours since the payment was captured, within which it can be refunded
	RefundsMax int `json:"refunds_max"` // how many refunds of the payment the channel is asked for, whatever became of them
}

// Policy is the business settings that rules read. It is data in the database, read with each batch, so that every worker decides
// by the same version.
type Policy struct {
	RefundSplit RefundSplit `json:"refund_split"`
	// BalanceExcludedLines are the kinds of line that balance cannot pay. Orders without lines are not checked.
	BalanceExcludedLines []LineKind `json:"balance_excluded_lines"`
	// MerchantsWithoutBalance take channels only.
	MerchantsWithoutBalance []string  `json:"merchants_without_balance"`
	Products                []Product `json:"products"`
	// ParkHoursMax is how long a refund waits for its payment before a person is asked, in hours.
	ParkHoursMax int `json:"park_hours_max"`
	// RefundLimits are the channels' own. A channel that is not named here keeps its default.
	RefundLimits map[Source]RefundLimit `json:"refund_limits"`
	// SweepUsersMax is how many users one part of a sweep covers: a book is locked that long.
	SweepUsersMax int `json:"sweep_users_max"`
	// TransferredPerDayMax is how much a user may send to other users on one business date.
	TransferredPerDayMax money.Amount `json:"transferred_per_day_max"`
	// TransfersPerDayMax is how many transfers a user may send on one business date.
	TransfersPerDayMax int `json:"transfers_per_day_max"`
	// ReturnedSuspensions are the causes of suspension whose payments are sent back by themselves.
	ReturnedSuspensions []SuspensionCause `json:"returned_suspensions"`
}

// transfersPerDayMost is no limit in practice: twelve transfers a second, all day long.
const transfersPerDayMost = 1_000_000

// DefaultPolicy is what counts until a policy is set. TransferredPerDayMax is the 5,000 yuan a day that the People's Bank of China allows
// a user of a payment account, all accounts together, who proves a payment by two factors, no certificate or electronic signature among
// them (非银行支付机构网络支付业务管理办法, announcement 43 of 2015, article 24). With fewer factors it is 1,000; with a certificate what both
// agree on. The article means all that a balance pays, transfers are what is bounded here. The limits of refunds are from copies of WeChat
// Pay's page on refunds (365 days, 50 partial refunds of an order) and of Alipay's terms (12 months, which a contract can shorten);
// UnionPay and digital RMB have none here.
func DefaultPolicy() Policy {
	return Policy{
		RefundSplit:             Proportional,
		BalanceExcludedLines:    []LineKind{Virtual},
		MerchantsWithoutBalance: []string{},
		Products:                []Product{{ProductID: "xiaojinku", MinSweep: money.FromFen(1)}},
		ParkHoursMax:            72,
		RefundLimits:            map[Source]RefundLimit{SourceWeChat: {DaysMax: 365, RefundsMax: 50}, SourceAlipay: {DaysMax: 365}},
		SweepUsersMax:           2000,
		TransferredPerDayMax:    money.FromFen(5000_00),
		TransfersPerDayMax:      50,
		ReturnedSuspensions:     []SuspensionCause{SecondPayment},
	}
}

// ParsePolicy reads a policy's JSON; absent fields keep their defaults, as do the absent limits of a channel. It returns a *FieldError for a value that is not allowed.
func ParsePolicy(document []byte) (Policy, error) {
	policy, err := readPolicy(document)
	if err != nil {
		return Policy{}, err
	}
	var check fieldCheck
	oneOf(&check, "refund_split", policy.RefundSplit, Proportional, ExternalFirst, BalanceFirst)
	for i, kind := range policy.BalanceExcludedLines {
		oneOf(&check, fmt.Sprintf("balance_excluded_lines[%d]", i), kind, Goods, Virtual, Shipping)
	}
	for i, merchant := range policy.MerchantsWithoutBalance {
		check.id(fmt.Sprintf("merchants_without_balance[%d]", i), merchant)
	}
	check.products(policy.Products)
	for i, cause := range policy.ReturnedSuspensions {
		oneOf(&check, fmt.Sprintf("returned_suspensions[%d]", i), cause, ReturnableCauses()...)
	}
	if policy.ParkHoursMax < 1 || policy.ParkHoursMax > 24*90 {
		check.refuse("park_hours_max", fmt.Sprintf("is %d", policy.ParkHoursMax), "1 to 2160")
	}
	check.refundLimits(policy.RefundLimits)
	if policy.SweepUsersMax < 1 || policy.SweepUsersMax > 20000 {
		check.refuse("sweep_users_max", fmt.Sprintf("is %d", policy.SweepUsersMax), "1 to 20000")
	}
	check.positive("transferred_per_day_max", policy.TransferredPerDayMax)
	if policy.TransfersPerDayMax < 1 || policy.TransfersPerDayMax > transfersPerDayMost {
		check.refuse("transfers_per_day_max", fmt.Sprintf("is %d", policy.TransfersPerDayMax), fmt.Sprintf("1 to %d", transfersPerDayMost))
	}
	if check.err != nil {
		return Policy{}, check.err
	}
	return policy, nil
}

func (c *fieldCheck) refundLimits(limits map[Source]RefundLimit) {
	for _, channel := range slices.Sorted(maps.Keys(limits)) {
		limit, field := limits[channel], "refund_limits."+string(channel)
		oneOf(c, field, channel, Channels()...)
		if limit.DaysMax < 0 || limit.DaysMax > 3650 {
			c.refuse(field+".days_max", fmt.Sprintf("is %d", limit.DaysMax), "0, which is no limit, to 3650")
		}
		if limit.RefundsMax < 0 || limit.RefundsMax > 1000 {
			c.refuse(field+".refunds_max", fmt.Sprintf("is %d", limit.RefundsMax), "0, which is no limit, to 1000")
		}
	}
}

func (c *fieldCheck) products(products []Product) {
	seen := make(map[string]bool, len(products))
	for i, product := range products {
		field := func(name string) string { return fmt.Sprintf("products[%d].%s", i, name) }
		c.id(field("product_id"), product.ProductID)
		if seen[product.ProductID] {
			c.refuse(field("product_id"), "is "+quote(product.ProductID)+", as an earlier product's", "each product once")
		}
		seen[product.ProductID] = true
		c.positive(field("min_sweep"), product.MinSweep)
	}
}

// NewestPolicySQL reads the policy that counts; ScanPolicy takes its row.
const NewestPolicySQL = `SELECT version, document FROM policies ORDER BY version DESC LIMIT 1`

// ScanPolicy reads the policy that counts from NewestPolicySQL's row, with its version; without a row it is the default, version 0.
// What the stored document does not name keeps its default: it may be older than the field. It is not checked again.
func ScanPolicy(row pgx.Row) (Policy, int, error) {
	policy := DefaultPolicy()
	var version int
	var document []byte
	switch err := row.Scan(&version, &document); {
	case errors.Is(err, pgx.ErrNoRows):
		return policy, 0, nil
	case err != nil:
		return Policy{}, 0, fmt.Errorf("read policy: %w", err)
	}
	if err := json.Unmarshal(document, &policy); err != nil {
		return Policy{}, 0, fmt.Errorf("read policy %d: %w", version, err)
	}
	return policy, version, nil
}

// Product finds a product by its id.
func (p *Policy) Product(id string) (Product, bool) {
	i := slices.IndexFunc(p.Products, func(product Product) bool { return product.ProductID == id })
	if i < 0 {
		return Product{}, false
	}
	return p.Products[i], true
}

// Returns says whether a payment that was suspended for a cause is sent back by itself.
func (p *Policy) Returns(cause SuspensionCause) bool {
	return slices.Contains(ReturnableCauses(), cause) && slices.Contains(p.ReturnedSuspensions, cause)
}

// BeyondLimit says which limit of a channel rules out, at a time, one more refund of a payment, whose refunds it was to be asked for so often;
// empty when none does. The age counts from the capture, which is never before the payment: a channel may refuse what is let through here,
// and its answer counts. A payment whose capture is not known, the zero time, is of no age.
func (p *Policy) BeyondLimit(channel Source, capturedAt, at time.Time, asked int) string {
	limit := p.RefundLimits[channel]
	switch {
	case limit.DaysMax > 0 && !capturedAt.IsZero() && at.Sub(capturedAt) > time.Duration(limit.DaysMax)*24*time.Hour:
		return fmt.Sprintf("%s takes refunds for %d days", channel, limit.DaysMax)
	case limit.RefundsMax > 0 && asked >= limit.RefundsMax:
		return fmt.Sprintf("%s takes %d refunds of a payment", channel, limit.RefundsMax)
	}
	return ""
}

// checkProduct refuses a payload that names a product which the policy does not offer.
func (p *Policy) checkProduct(payload Payload) error {
	var id string
	switch payload := payload.(type) {
	case *Enrolment:
		id = payload.ProductID
	case *Sweep:
		id = payload.ProductID
	default:
		return nil
	}
	if _, ok := p.Product(id); ok {
		return nil
	}
	names := make([]string, len(p.Products))
	for i, product := range p.Products {
		names[i] = product.ProductID
	}
	return &FieldError{Field: "product_id", Problem: "is " + quote(id) + ", which is not offered", Allowed: strings.Join(names, ", ")}
}
