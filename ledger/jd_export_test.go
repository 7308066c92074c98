package ledger_test

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/settled-dev/settled/internal/clock"
	"github.com/settled-dev/settled/ledger"
	"github.com/settled-dev/settled/ledger/ledgertest"
	"github.com/settled-dev/settled/money"
	"github.com/settled-dev/settled/tasks"
)

// jdRow is one row of a JD wallet export. refunded is what the export itself says was refunded of a purchase.
type jdRow struct {
	at       time.Time
	text     string
	amount   money.Amount
	refunded money.Amount
	method   string
	isRefund bool
}

// jdHeader is what the export says of itself.
type jdHeader struct {
	spendings, partlyRefunded int
	spent, notCounted         string
}

// sharedFixture finds a file of shared/fixtures beside the repository.
func sharedFixture(t *testing.T, name string) []byte {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for ; dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		raw, err := os.ReadFile(filepath.Join(dir, "shared", "fixtures", name))
		if err == nil {
			return raw
		}
	}
	t.Skipf("shared/fixtures/%s is not beside the repository", name)
	return nil
}

var (
	jdSpent      = regexp.MustCompile(`支出：(\d+)笔\(含(\d+)笔部分退款\)，([\d.]+)元`)
	jdNotCounted = regexp.MustCompile(`不计收支：\d+笔，([\d.]+)元`)
	jdAmount     = regexp.MustCompile(`^([\d.]+)(?:\(已退款([\d.]+)\)|(\(已全额退款\)))?$`)
)

func readJDExport(t *testing.T, raw []byte) (jdHeader, []jdRow) {
	t.Helper()
	preamble, table, found := bytes.Cut(raw, []byte("\n交易时间,"))
	if !found {
		t.Fatal("the export has no table")
	}
	var header jdHeader
	spent, notCounted := jdSpent.FindSubmatch(preamble), jdNotCounted.FindSubmatch(preamble)
	if spent == nil || notCounted == nil {
		t.Fatal("the export's preamble has no totals")
	}
	if _, err := fmt.Sscan(string(spent[1])+" "+string(spent[2]), &header.spendings, &header.partlyRefunded); err != nil {
		t.Fatal(err)
	}
	header.spent, header.notCounted = string(spent[3]), string(notCounted[1])
	reader := csv.NewReader(bytes.NewReader(table))
	reader.FieldsPerRecord, reader.LazyQuotes = -1, true
	records, err := reader.ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	var rows []jdRow
	for _, record := range records[1:] {
		rows = append(rows, parseJDRow(t, record))
	}
	slices.SortStableFunc(rows, func(a, b jdRow) int { return a.at.Compare(b.at) })
	return header, rows
}

func parseJDRow(t *testing.T, record []string) jdRow {
	t.Helper()
	at, err := time.ParseInLocation(time.DateTime, strings.TrimSpace(record[0]), clock.Shanghai)
	if err != nil {
		t.Fatal(err)
	}
	match := jdAmount.FindStringSubmatch(strings.TrimSpace(record[3]))
	if match == nil {
		t.Fatalf("amount %q is not read", record[3])
	}
	row := jdRow{at: at, text: record[2], amount: ledgertest.Yuan(match[1]), method: record[4], isRefund: record[5] == "退款成功"}
	if match[2] != "" {
		row.refunded = ledgertest.Yuan(match[2])
	} else if match[3] != "" {
		row.refunded = row.amount
	}
	return row
}

// jdSource is the leg that a payment method is. A purchase by 先享后付 is a promise to pay, not a payment: it is no leg.
func jdSource(t *testing.T, method string) (source tasks.Source, isPayment bool) {
	t.Helper()
	switch {
	case method == "钱包余额":
		return tasks.SourceCash, true
	case strings.HasPrefix(method, "微信-"):
		return tasks.SourceWeChat, true
	case strings.Contains(method, "银行"):
		return tasks.SourceUnionPay, true
	case method == "先享后付":
		return "", false
	}
	t.Fatalf("payment method %q is unknown", method)
	return "", false
}

// jdRequests turns the rows into requests. The export's order numbers are blacked out, so a refund belongs to the newest earlier
// purchase by the same method of which the export says that so much was refunded.
func jdRequests(t *testing.T, rows []jdRow) []tasks.Payload {
	t.Helper()
	var payloads []tasks.Payload
	for i, row := range rows {
		source, isPayment := jdSource(t, row.method)
		if !isPayment || row.amount.IsZero() {
			continue
		}
		if row.isRefund {
			of := slices.IndexFunc(backwards(rows[:i]), func(p jdRow) bool {
				return !p.isRefund && p.method == row.method && p.refunded.Cmp(row.amount) >= 0
			})
			if of < 0 {
				t.Fatalf("no purchase for the refund of %s at %s", row.amount, row.at)
			}
			purchase := i - 1 - of
			rows[purchase].refunded = rows[purchase].refunded.Sub(row.amount)
			payloads = append(payloads, &tasks.Refund{RefundID: fmt.Sprintf("jd-refund-%d", i), OrderID: fmt.Sprintf("jd-order-%d", purchase),
				UserID: "jd-user", Amount: row.amount, Reason: "export", OccurredAt: row.at})
			continue
		}
		if source == tasks.SourceCash {
			payloads = append(payloads, &tasks.Recharge{RechargeID: fmt.Sprintf("jd-fund-%d", i), UserID: "jd-user",
				Channel: tasks.SourceUnionPay, ChannelTxnID: fmt.Sprintf("jd-fund-%d", i), Amount: row.amount, OccurredAt: row.at})
		}
		payloads = append(payloads, &tasks.Payment{OrderID: fmt.Sprintf("jd-order-%d", i), UserID: "jd-user", MerchantID: "jd",
			Legs: []tasks.Leg{{Source: source, Amount: row.amount}}, OccurredAt: row.at})
	}
	return payloads
}

func backwards(rows []jdRow) []jdRow {
	reversed := slices.Clone(rows)
	slices.Reverse(reversed)
	return reversed
}

func TestAJDExportReplayedAgreesWithItsOwnTotals(t *testing.T) {
	t.Parallel()
	header, rows := readJDExport(t, sharedFixture(t, "jd-export/example-jd-records.csv"))
	b := ledgertest.Open(t)
	ledgertest.Applied(t, b.Do(t, jdRequests(t, rows)...)...)
	b.Settle(t)

	var spendings, partly int
	var spent, refunded int64
	err := b.DB.Pool.QueryRow(t.Context(), `
		SELECT count(*) FILTER (WHERE refunded_fen < captured_fen), count(*) FILTER (WHERE refunded_fen BETWEEN 1 AND captured_fen - 1),
		       sum(captured_fen - refunded_fen), sum(refunded_fen)
		FROM legs`).Scan(&spendings, &partly, &spent, &refunded)
	if err != nil {
		t.Fatal(err)
	}
	got := jdHeader{spendings, partly, money.FromFen(spent).String(), money.FromFen(refunded).String()}
	if got != header {
		t.Errorf("the books say %+v, the export says %+v", got, header)
	}
	b.Expect(t, ledger.MerchantPayable("jd"), header.spent)
	b.Expect(t, ledger.UserCash("jd-user"), "0.00")
}
