package proof_test

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/settled-dev/settled/internal/clock"
	"github.com/settled-dev/settled/internal/postgres/pgtest"
	"github.com/settled-dev/settled/ledger"
	"github.com/settled-dev/settled/money"
	"github.com/settled-dev/settled/tasks"
)

// jdRow is one row of a user's bill export.
type jdRow struct {
	at       time.Time
	merchant string
	item     string
	amount   money.Amount
	refunded money.Amount // as the row of a purchase is annotated
	method   string
	refund   bool // a row of its own, named 退款-<item>
}

// jdExport is a whole file: what its header says, and its rows from the newest to the oldest.
type jdExport struct {
	user                             string
	rows                             []jdRow
	records                          string
	spentRows, spentPartly, spent    string // 支出: purchases, how many of them partly refunded, yuan after refunds
	neutralRows, neutral             string // 不计收支: refunds, and purchases that came to nothing; yuan of the refunds
	incomeRows, firstDate, finalDate string
}

// openJDExport reads the export from a folder shared/fixtures beside the repository, or skips the test where there is none.
func openJDExport(t *testing.T) jdExport {
	t.Helper()
	for dir := repository(t); ; dir = filepath.Dir(dir) {
		raw, err := os.ReadFile(filepath.Join(dir, "shared", "fixtures", "jd-export", "example-jd-records.csv"))
		if err == nil {
			return parseJDExport(t, raw)
		}
		if !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
		if dir == filepath.Dir(dir) {
			t.Skip("there is no folder shared/fixtures/jd-export above or beside the repository")
		}
	}
}

func parseJDExport(t *testing.T, raw []byte) jdExport {
	t.Helper()
	text := string(bytes.TrimPrefix(raw, []byte("\ufeff")))
	head, table, found := strings.Cut(text, "\n交易时间,")
	if !found {
		t.Fatal("the export has no line of column names")
	}
	part := func(pattern string) []string {
		found := regexp.MustCompile(pattern).FindStringSubmatch(head)
		if found == nil {
			t.Fatalf("the header has no %s:\n%s", pattern, head)
		}
		return found[1:]
	}
	e := jdExport{user: part(`京东账号名：(\S+)`)[0], records: part(`共：(\d+)笔记录`)[0], incomeRows: part(`收入：(\d+)笔`)[0]}
	spent, neutral, dates := part(`支出：(\d+)笔\(含(\d+)笔部分退款\)，([\d.]+)元`), part(`不计收支：(\d+)笔，([\d.]+)元`), part(`日期区间：(\S+) 至 (\S+)`)
	e.spentRows, e.spentPartly, e.spent = spent[0], spent[1], spent[2]
	e.neutralRows, e.neutral, e.firstDate, e.finalDate = neutral[0], neutral[1], dates[0], dates[1]
	reader := csv.NewReader(strings.NewReader(table))
	reader.FieldsPerRecord, reader.LazyQuotes = -1, true
	records, err := reader.ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	for _, record := range records[1:] { // the rest of the column names
		e.rows = append(e.rows, parseJDRow(t, record))
	}
	if fmt.Sprint(len(e.rows)) != e.records {
		t.Fatalf("%d rows, the header says %s", len(e.rows), e.records)
	}
	return e
}

var jdAmount = regexp.MustCompile(`^([\d.]+)(?:\(已(?:退款([\d.]+)|(全额)退款)\))?$`)

func parseJDRow(t *testing.T, record []string) jdRow {
	t.Helper()
	for i := range record {
		record[i] = strings.TrimSpace(record[i])
	}
	at, err := time.ParseInLocation(time.DateTime, record[0], clock.Shanghai)
	if err != nil {
		t.Fatal(err)
	}
	amount := jdAmount.FindStringSubmatch(record[3])
	if amount == nil {
		t.Fatalf("amount %q", record[3])
	}
	row := jdRow{at: at, merchant: record[1], amount: yuan(t, amount[1]), method: record[4]}
	row.item, row.refund = strings.CutPrefix(record[2], "退款-")
	switch {
	case amount[2] != "":
		row.refunded = yuan(t, amount[2])
	case amount[3] != "":
		row.refunded = row.amount
	}
	return row
}

func yuan(t *testing.T, text string) money.Amount {
	t.Helper()
	amount, err := money.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return amount
}

// payLater is JD's 先享后付: the goods are sent, and somebody else lends the money. The wallet captures nothing until the user pays; the
// export then has another row for it. So such a row is not asked for.
const payLater = "先享后付"

// sourceOf is the leg that a payment method is.
func sourceOf(t *testing.T, method string) tasks.Source {
	t.Helper()
	switch {
	case method == "钱包余额":
		return tasks.SourceCash
	case strings.HasPrefix(method, "微信-"):
		return tasks.SourceWeChat
	case strings.HasPrefix(method, "支付宝"):
		return tasks.SourceAlipay
	case strings.HasPrefix(method, "数字人民币"):
		return tasks.SourceECNY
	case strings.Contains(method, "银行"), strings.HasPrefix(method, "云闪付"):
		return tasks.SourceUnionPay // JD takes bank cards through UnionPay
	}
	t.Fatalf("payment method %q is none that the wallet knows", method)
	return ""
}

// id names what a row does. The export hides the numbers of orders, and no two of its rows are of one second.
func (r jdRow) id() string { return "jd-" + r.at.Format("20060102T150405") }

// matchRefunds says which purchase each refund is of: both by their places in rows. The export hides the order's number, so a purchase
// is told by its method, its time before the refund, and its annotation, to which its refunds must add up. The purchases come newest
// first: a refund belongs to the newest purchase that it fits.
func matchRefunds(t *testing.T, rows []jdRow) map[int]int {
	t.Helper()
	of := map[int]int{}
	for purchase, p := range rows {
		if p.refund || p.refunded.IsZero() {
			continue
		}
		var candidates []int
		for i := range purchase { // newer rows
			if _, taken := of[i]; rows[i].refund && !taken && rows[i].method == p.method && rows[i].amount.IsPositive() {
				candidates = append(candidates, i)
			}
		}
		sets := subsetsOf(rows, candidates, p.refunded)
		if len(sets) != 1 {
			t.Fatalf("the refunds of %s (%s, %s refunded) could be any of %v", p.id(), p.item, p.refunded, sets)
		}
		for _, i := range sets[0] {
			of[i] = purchase
		}
	}
	return of
}

// subsetsOf lists the sets of rows that add up to a sum.
func subsetsOf(rows []jdRow, candidates []int, sum money.Amount) [][]int {
	if sum.IsZero() {
		return [][]int{nil}
	}
	var sets [][]int
	for n, i := range candidates {
		if rest := sum.Sub(rows[i].amount); !rest.IsNegative() {
			for _, set := range subsetsOf(rows, candidates[n+1:], rest) {
				sets = append(sets, append([]int{i}, set...))
			}
		}
	}
	return sets
}

// requests are what the rows ask for: recharges that fund what the balance pays, and the purchases and refunds in the order of the file,
// which has refunds before their payments. without counts the rows that move no money in the wallet.
func (e jdExport) requests(t *testing.T) (funds, month []tasks.Payload, without int) {
	t.Helper()
	purchaseOf := matchRefunds(t, e.rows)
	for i, row := range e.rows {
		if row.method == payLater && row.amount.IsPositive() {
			without++
			continue
		}
		if row.amount.IsZero() {
			expectZeroRefused(t, e.user, row)
			without++
			continue
		}
		if row.refund {
			purchase, matched := purchaseOf[i]
			if !matched {
				t.Fatalf("%s, a refund of %s (%s), is of no purchase", row.id(), row.amount, row.item)
			}
			month = append(month, &tasks.Refund{RefundID: row.id(), OrderID: e.rows[purchase].id(), UserID: e.user, Amount: row.amount, OccurredAt: row.at})
			continue
		}
		leg := tasks.Leg{Source: sourceOf(t, row.method), Amount: row.amount}
		if leg.Source == tasks.SourceCash {
			funds = append(funds, &tasks.Recharge{RechargeID: row.id(), UserID: e.user, Channel: tasks.SourceUnionPay, ChannelTxnID: row.id(),
				Amount: row.amount, OccurredAt: row.at.Add(-time.Minute)})
		}
		month = append(month, &tasks.Payment{OrderID: row.id(), UserID: e.user, MerchantID: fmt.Sprintf("jd-%08x", crc32.ChecksumIEEE([]byte(row.merchant))),
			Legs: []tasks.Leg{leg}, OccurredAt: row.at})
	}
	return funds, month, without
}

// expectZeroRefused: a row of 0.00, which 先享后付 leaves behind, moves nothing, and the wallet has no request that moves nothing.
func expectZeroRefused(t *testing.T, user string, row jdRow) {
	t.Helper()
	var payload tasks.Payload = &tasks.Refund{RefundID: row.id(), OrderID: "any", UserID: user, Amount: row.amount, OccurredAt: row.at}
	if !row.refund {
		payload = &tasks.Payment{OrderID: row.id(), UserID: user, MerchantID: "any", OccurredAt: row.at,
			Legs: []tasks.Leg{{Source: tasks.SourceUnionPay, Amount: row.amount}}}
	}
	var refused *tasks.FieldError
	if _, err := tasks.NewRequest(payload, 4, row.at); !errors.As(err, &refused) || !strings.HasSuffix(refused.Field, "amount") {
		t.Errorf("a row of nothing is asked for: %v", err)
	}
}

const spentSQL = `
SELECT count(*) FILTER (WHERE refunded < captured)::text, count(*) FILTER (WHERE refunded > 0 AND refunded < captured)::text,
       (sum(captured - refunded) / 100)::numeric(20, 2)::text, count(*) FILTER (WHERE refunded = captured)
FROM (SELECT order_id, sum(captured_fen) AS captured, sum(refunded_fen) AS refunded FROM legs GROUP BY order_id) orders`

const refundedSQL = `
SELECT count(DISTINCT t.request_id), (sum(t.amount_fen) / 100)::numeric(20, 2)::text
FROM transfers t JOIN accounts a ON a.book = t.book AND a.id = t.debit_account AND a.kind = 'merchant_payable'`

// A real user's month runs through the whole system. What the books then say of it is what the export's own header says.
func TestMonthOfARealUserAgreesWithTheTotalsOfItsExport(t *testing.T) {
	t.Parallel()
	export := openJDExport(t)
	funds, month, without := export.requests(t)
	s := newStack(t, pgtest.New(t))
	s.startWorker(t, s.db.Pool, nil)
	s.accept(t, funds...)
	s.settled(t, len(funds))
	s.accept(t, month...)
	refunds := slices.DeleteFunc(slices.Clone(month), func(p tasks.Payload) bool { return p.Kind() != tasks.RefundApply })
	s.settled(t, len(funds)+len(month)+2*len(refunds)) // each refund goes back to a card: the order to the channel, and its answer

	var rows, partly, spent, refunded string
	var wholly, refundRows int
	if err := s.db.Pool.QueryRow(t.Context(), spentSQL).Scan(&rows, &partly, &spent, &wholly); err != nil {
		t.Fatal(err)
	}
	if rows != export.spentRows || partly != export.spentPartly || spent != export.spent {
		t.Errorf("支出 by the books: %s笔(含%s笔部分退款)，%s元; the header says %s, %s, %s", rows, partly, spent, export.spentRows, export.spentPartly, export.spent)
	}
	if err := s.db.Pool.QueryRow(t.Context(), refundedSQL).Scan(&refundRows, &refunded); err != nil {
		t.Fatal(err)
	}
	// Neither spent nor earned are the refunds, the purchases that they undo wholly, and the rows that move nothing in the wallet.
	if neutral := fmt.Sprint(refundRows + wholly + without); neutral != export.neutralRows || refunded != export.neutral {
		t.Errorf("不计收支 by the books: %s笔，%s元; the header says %s, %s", neutral, refunded, export.neutralRows, export.neutral)
	}
	if export.incomeRows != "0" {
		t.Errorf("收入 is %s笔, and nothing here earns", export.incomeRows)
	}
	s.expectCount(t, 0, "SELECT count(*) FROM transfers WHERE business_date NOT BETWEEN $1::date AND $2::date", export.firstDate, export.finalDate)
	s.expectCount(t, 0, "SELECT count(*) FROM outcomes WHERE result <> 'applied'")
	s.expectMethods(t, export)
}

// expectMethods compares, for each source of money, what the rows of its methods add up to with what the books hold of it.
func (s *stack) expectMethods(t *testing.T, export jdExport) {
	t.Helper()
	want, recharged := map[tasks.Source]money.Amount{}, money.Amount{}
	for _, row := range export.rows {
		if row.method == payLater {
			continue
		}
		source := sourceOf(t, row.method)
		if row.refund {
			want[source] = want[source].Sub(row.amount)
			continue
		}
		want[source] = want[source].Add(row.amount)
		if source == tasks.SourceCash {
			recharged = recharged.Add(row.amount)
		}
	}
	for source, amount := range want {
		got := s.count(t, "SELECT coalesce(sum(captured_fen - refunded_fen), 0) FROM legs WHERE source = $1", string(source))
		if money.FromFen(int64(got)) != amount {
			t.Errorf("%s paid %s by the books, %s by the rows", source, money.FromFen(int64(got)), amount)
		}
	}
	s.expectBalance(t, ledger.UserCash(export.user), "0.00")
	s.expectBalance(t, ledger.ChannelRefunding(tasks.SourceUnionPay), "0.00")
	s.expectBalance(t, ledger.ChannelClearing(tasks.SourceUnionPay), want[tasks.SourceUnionPay].Add(recharged).Neg().String())
	s.expectBalance(t, ledger.ChannelClearing(tasks.SourceWeChat), want[tasks.SourceWeChat].Neg().String())
}
