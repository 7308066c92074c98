package ledger

// auditChecks are the invariants of the package comment, in order. Each query returns one row: rows looked at, and a description of
// the first bad row or null.
var auditChecks = []auditCheck{
	{"I1", "each book sums to zero; every transfer has two accounts and a positive amount", `
SELECT (SELECT count(*) FROM transfers),
       coalesce(
           (SELECT format('book %s sums to %s fen', book, sum(balance_fen)) FROM accounts GROUP BY book HAVING sum(balance_fen) <> 0 LIMIT 1),
           (SELECT format('transfer %s of book %s moves %s fen from account %s to %s', seq, book, amount_fen, debit_account, credit_account)
            FROM transfers WHERE amount_fen <= 0 OR debit_account = credit_account LIMIT 1))`},

	{"I2", "an account's balance equals the sum of its transfers", `
WITH sides AS (
    SELECT book, debit_account AS account, debit_version AS version, -amount_fen AS change FROM transfers
    UNION ALL
    SELECT book, credit_account, credit_version, amount_fen FROM transfers
), sums AS (
    SELECT book, account, sum(change) AS balance, count(version) AS versions FROM sides GROUP BY book, account
)
SELECT (SELECT count(*) FROM accounts),
       (SELECT format('account %s (%s) of book %s holds %s fen at version %s, its transfers make %s at version %s',
                      coalesce(a.id, s.account), coalesce(a.name, 'missing'), coalesce(a.book, s.book), coalesce(a.balance_fen, 0),
                      coalesce(a.version, 0), coalesce(s.balance, 0), coalesce(s.versions, 0))
        FROM accounts a
        FULL JOIN sums s ON s.book = a.book AND s.account = a.id
        WHERE a.id IS NULL OR a.balance_fen <> coalesce(s.balance, 0) OR a.version <> coalesce(s.versions, 0)
        LIMIT 1)`},

	{"I2", "a guarded account's running balance stands on each of its transfers", `
WITH sides AS (
    SELECT book, debit_account AS account, debit_version AS version, debit_balance_fen AS after, -amount_fen AS change, seq
    FROM transfers WHERE debit_version IS NOT NULL
    UNION ALL
    SELECT book, credit_account, credit_version, credit_balance_fen, amount_fen, seq
    FROM transfers WHERE credit_version IS NOT NULL
), running AS (
    SELECT *, lag(after, 1, 0::bigint) OVER versions AS before, lag(seq, 1, 0::bigint) OVER versions AS seq_before,
           row_number() OVER versions AS expected
    FROM sides
    WINDOW versions AS (PARTITION BY book, account ORDER BY version)
)
SELECT (SELECT count(*) FROM sides),
       (SELECT format('transfer %s of book %s leaves account %s at %s fen, version %s; expected %s fen, version %s', seq, book, account,
                      after, version, before + change, expected)
        FROM running WHERE after <> before + change OR version <> expected OR seq <= seq_before LIMIT 1)`},

	{"I3", "no guarded account is negative or below its holds", `
SELECT (SELECT count(*) FROM accounts WHERE guarded),
       (SELECT format('account %s of book %s holds %s fen, %s of them held', name, book, balance_fen, held_fen)
        FROM accounts WHERE guarded AND (balance_fen < 0 OR balance_fen < held_fen OR held_fen < 0) LIMIT 1)`},

	{"I4", "requests, outcomes and transfers are append-only", `
WITH kept (name) AS (VALUES ('requests'), ('outcomes'), ('transfers'))
SELECT (SELECT count(*) FROM kept),
       (SELECT format('table %s can be changed', name)
        FROM kept
        WHERE has_table_privilege('settled_service', name, 'UPDATE') OR has_table_privilege('settled_service', name, 'DELETE')
           OR has_table_privilege('settled_service', name, 'TRUNCATE')
           OR NOT EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = name::regclass AND t.tgname = name || '_are_append_only'
                          AND t.tgenabled IN ('O', 'A'))
        LIMIT 1)`},

	{"I5", "the journal has no gaps, and each transfer is named by its request's outcome", `
WITH journals AS (
    SELECT b.book, b.next_transfer - 1 AS numbered, count(t.seq) AS present, coalesce(max(t.seq), 0) AS last
    FROM books b LEFT JOIN transfers t ON t.book = b.book
    GROUP BY b.book, b.next_transfer
), named AS (
    SELECT b.book, coalesce(sum(o.transfers), 0) AS transfers
    FROM books b LEFT JOIN outcomes o ON o.book = b.book
    GROUP BY b.book
)
SELECT (SELECT count(*) FROM outcomes),
       coalesce(
           (SELECT format('book %s numbered %s transfers, has %s, the last is %s', book, numbered, present, last)
            FROM journals WHERE numbered <> present OR numbered <> last LIMIT 1),
           (SELECT format('outcomes of book %s name %s transfers, the journal has %s', n.book, n.transfers, j.present)
            FROM named n JOIN journals j ON j.book = n.book WHERE n.transfers <> j.present LIMIT 1),
           (SELECT format('transfer %s of book %s is not named by the outcome of its request %s', t.seq, t.book, t.request_id)
            FROM transfers t LEFT JOIN outcomes o ON o.book = t.book AND o.request_id = t.request_id
            WHERE o.request_id IS NULL OR t.seq < o.first_transfer OR t.seq >= o.first_transfer + o.transfers LIMIT 1))`},

	{"I6", "no leg is refunded beyond its capture, and the refunds of an order are those that were applied", `
WITH given AS (
    SELECT r.book, r.payload ->> 'order_id' AS order_id, sum((r.payload ->> 'amount')::numeric * 100)::bigint AS fen
    FROM requests r JOIN outcomes o ON o.book = r.book AND o.request_id = r.id
    WHERE r.kind = 'refund:apply' AND o.result = 'applied'
    GROUP BY 1, 2
), kept AS (
    SELECT book, order_id, sum(captured_fen) AS captured, sum(refunded_fen) AS refunded FROM legs GROUP BY book, order_id
)
SELECT (SELECT count(*) FROM legs),
       coalesce(
           (SELECT format('leg %s of order %s in book %s captured %s fen and refunded %s', leg, order_id, book, captured_fen, refunded_fen)
            FROM legs WHERE refunded_fen < 0 OR refunded_fen > captured_fen LIMIT 1),
           (SELECT format('order %s in book %s captured %s fen, its legs %s', o.order_id, o.book, o.captured_fen, coalesce(k.captured, 0))
            FROM orders o LEFT JOIN kept k ON k.book = o.book AND k.order_id = o.order_id
            WHERE o.captured_fen <> coalesce(k.captured, 0) LIMIT 1),
           (SELECT format('order %s in book %s: applied refunds make %s fen, its legs show %s', coalesce(k.order_id, g.order_id),
                          coalesce(k.book, g.book), coalesce(g.fen, 0), coalesce(k.refunded, 0))
            FROM kept k FULL JOIN given g ON g.book = k.book AND g.order_id = k.order_id
            WHERE coalesce(k.refunded, 0) <> coalesce(g.fen, 0) LIMIT 1))`},

	{"I7", "what is owed equals what stands against it, per book; what books owe each other is on its way", `
WITH sides AS (
    SELECT book,
           sum(balance_fen) FILTER (WHERE kind IN ('user_cash', 'user_reward', 'user_wealth', 'merchant_payable', 'suspense',
               'channel_refunding')) AS owed,
           -sum(balance_fen) FILTER (WHERE kind IN ('reserve_cash', 'channel_clearing', 'channel_fees', 'wealth_assets', 'promotion',
               'interbook')) AS against
    FROM accounts GROUP BY book
), coming AS (
    SELECT coalesce(sum((r.payload ->> 'amount')::numeric * 100), 0)::bigint AS fen
    FROM requests r LEFT JOIN outcomes o ON o.book = r.book AND o.request_id = r.id
    WHERE r.kind = 'transfer:receive' AND o.result IS DISTINCT FROM 'applied'
), between AS (
    SELECT coalesce(sum(balance_fen), 0) AS fen FROM accounts WHERE kind = 'interbook'
)
SELECT (SELECT count(*) FROM accounts),
       coalesce(
           (SELECT format('book %s owes %s fen against %s', book, coalesce(owed, 0), coalesce(against, 0))
            FROM sides WHERE coalesce(owed, 0) <> coalesce(against, 0) LIMIT 1),
           (SELECT format('books owe each other %s fen, %s are on their way', b.fen, c.fen) FROM between b, coming c WHERE b.fen <> c.fen))`},

	{"I8", "one sweep per user, product and date, which leaves the keep amount", `
SELECT (SELECT count(*) FROM subscriptions),
       (SELECT format('subscription of %s to %s on %s in book %s: %s fen by transfer %s, %s left, %s kept', s.user_id, s.product_id,
                      s.business_date, s.book, s.amount_fen, s.transfer, s.cash_after_fen, s.keep_fen)
        FROM subscriptions s
        LEFT JOIN transfers t ON t.book = s.book AND t.seq = s.transfer
        LEFT JOIN accounts a ON a.book = s.book AND a.id = t.debit_account
        WHERE t.seq IS NULL OR t.amount_fen <> s.amount_fen OR t.debit_balance_fen <> s.cash_after_fen
           OR s.cash_after_fen < s.keep_fen OR a.name IS DISTINCT FROM 'user/' || s.user_id || '/cash'
           OR t.request_id <> s.request_id
        LIMIT 1)`},

	{"I9", "every accepted request is pending or has an outcome, and not both", `
SELECT (SELECT count(*) FROM requests),
       coalesce(
           (SELECT format('request %s (%s %s) of book %s has no outcome and is not pending', r.id, r.kind, r.key, r.book)
            FROM requests r
            WHERE NOT EXISTS (SELECT FROM outcomes o WHERE o.book = r.book AND o.request_id = r.id)
              AND NOT EXISTS (SELECT FROM pending p WHERE p.book = r.book AND p.request_id = r.id) LIMIT 1),
           (SELECT format('request %s of book %s is pending and has an outcome', p.request_id, p.book)
            FROM pending p JOIN outcomes o ON o.book = p.book AND o.request_id = p.request_id LIMIT 1),
           (SELECT format('outcome of %s in book %s has no request', o.request_id, o.book)
            FROM outcomes o WHERE NOT EXISTS (SELECT FROM requests r WHERE r.book = o.book AND r.id = o.request_id) LIMIT 1),
           (SELECT format('pending row of %s in book %s has no request', p.request_id, p.book)
            FROM pending p WHERE NOT EXISTS (SELECT FROM requests r WHERE r.book = p.book AND r.id = p.request_id) LIMIT 1))`},

	{"I10", "every answered number was stored before it was sent, with its amount; what is revised had failed", `
SELECT (SELECT count(*) FROM requests WHERE kind = 'refund:send'),
       coalesce(
           (SELECT format('%s %s of %s yuan has no order of that amount', a.kind, a.key, a.payload ->> 'amount')
            FROM requests a
            LEFT JOIN requests s ON s.kind = 'refund:send' AND s.key = a.key
            WHERE a.kind IN ('refund:answer', 'refund:revise') AND (s.payload ->> 'amount' IS DISTINCT FROM a.payload ->> 'amount'
                OR s.accepted_at > a.accepted_at) LIMIT 1),
           (SELECT format('revision %s is applied, and its answer is no applied failure', v.key)
            FROM requests v
            JOIN outcomes o ON o.book = v.book AND o.request_id = v.id AND o.result = 'applied'
            LEFT JOIN requests a ON a.kind = 'refund:answer' AND a.key = v.key
            LEFT JOIN outcomes d ON d.book = a.book AND d.request_id = a.id
            WHERE v.kind = 'refund:revise' AND (a.payload ->> 'result' IS DISTINCT FROM 'failed' OR d.result IS DISTINCT FROM 'applied')
            LIMIT 1))`},

	{"I11", "suspense holds what its open cases ask about; a closed case was closed by a request that moved its money", `
WITH standing AS (
    SELECT c.book, c.account, sum(c.amount_fen) AS fen
    FROM cases c
    LEFT JOIN case_closings x ON x.book = c.book AND x.request_id = c.request_id AND x.ordinal = c.ordinal
    WHERE c.account LIKE 'suspense/%' AND x.book IS NULL
    GROUP BY c.book, c.account
), held AS (
    SELECT book, name AS account, balance_fen AS fen FROM accounts WHERE kind = 'suspense'
)
SELECT (SELECT count(*) FROM cases),
       coalesce(
           (SELECT format('account %s of book %s holds %s fen, its open cases ask about %s', coalesce(h.account, s.account),
                          coalesce(h.book, s.book), coalesce(h.fen, 0), coalesce(s.fen, 0))
            FROM held h FULL JOIN standing s ON s.book = h.book AND s.account = h.account
            WHERE coalesce(h.fen, 0) <> coalesce(s.fen, 0) LIMIT 1),
           (SELECT format('case %s.%s.%s is closed and was never opened', x.book, x.request_id, x.ordinal)
            FROM case_closings x
            WHERE NOT EXISTS (SELECT FROM cases c WHERE c.book = x.book AND c.request_id = x.request_id AND c.ordinal = x.ordinal) LIMIT 1),
           (SELECT format('case %s.%s.%s is closed by %s, which is not applied', x.book, x.request_id, x.ordinal, x.closing_request_id)
            FROM case_closings x
            LEFT JOIN outcomes o ON o.book = x.book AND o.request_id = x.closing_request_id
            WHERE o.result IS DISTINCT FROM 'applied' LIMIT 1),
           (SELECT format('case %s.%s.%s of %s fen in %s is closed by %s, which moved something else', c.book, c.request_id, c.ordinal,
                          c.amount_fen, c.account, x.closing_request_id)
            FROM case_closings x
            JOIN cases c ON c.book = x.book AND c.request_id = x.request_id AND c.ordinal = x.ordinal
            JOIN outcomes o ON o.book = x.book AND o.request_id = x.closing_request_id
            LEFT JOIN transfers t ON t.book = o.book AND t.seq = o.first_transfer AND o.transfers = 1
            LEFT JOIN accounts a ON a.book = t.book AND a.id = t.debit_account
            LEFT JOIN requests by ON by.book = x.book AND by.id = x.closing_request_id
            WHERE CASE WHEN c.kind = 'paid_twice' THEN o.transfers <> 0
                -- What a worker of a version before closings has revised had left the books: a person's closing moved nothing.
                WHEN c.kind = 'failed_refund' AND by.kind = 'case:close' AND o.transfers = 0 THEN NOT EXISTS (
                    SELECT FROM requests f
                    JOIN requests v ON v.kind = 'refund:revise' AND v.key = f.key AND v.book = f.book
                    JOIN outcomes w ON w.book = v.book AND w.request_id = v.id AND w.result = 'applied' AND w.transfers = 1
                    WHERE f.book = c.book AND f.id = c.request_id)
                -- What is sent again stays in refunding: the number of the case is asked for the same money.
                WHEN c.kind = 'failed_refund' AND by.kind = 'case:return' THEN o.transfers <> 0 OR NOT EXISTS (
                    SELECT FROM requests f
                    JOIN requests s ON s.kind = 'refund:send' AND s.key = f.key
                    JOIN requests n ON n.kind = 'refund:send' AND n.book = c.book AND n.key = return_number(c.book, c.request_id, c.ordinal)
                    WHERE f.book = c.book AND f.id = c.request_id
                      AND (n.payload ->> 'refund_id', n.payload ->> 'leg', n.payload ->> 'channel', n.payload ->> 'channel_txn_id',
                           n.payload ->> 'captured', n.payload ->> 'amount')
                          IS NOT DISTINCT FROM (s.payload ->> 'refund_id', s.payload ->> 'leg', s.payload ->> 'channel',
                           s.payload ->> 'channel_txn_id', s.payload ->> 'captured', s.payload ->> 'amount'))
                ELSE a.name IS DISTINCT FROM c.account OR t.amount_fen IS DISTINCT FROM c.amount_fen END LIMIT 1),
           (SELECT format('%s of %s is applied, and has closed no case', r.kind, r.key)
            FROM requests r
            JOIN outcomes o ON o.book = r.book AND o.request_id = r.id AND o.result = 'applied'
            WHERE r.kind IN ('case:credit', 'case:return', 'case:close')
              AND NOT EXISTS (SELECT FROM case_closings x WHERE x.book = r.book AND x.closing_request_id = r.id
                              AND format('%s.%s.%s', x.book, x.request_id, x.ordinal) = split_part(r.key, ':', 1)) LIMIT 1),
           (SELECT format('case %s.%s.%s is %s among the open ones', coalesce(s.book, c.book), coalesce(s.request_id, c.request_id),
                          coalesce(s.ordinal, c.ordinal), CASE WHEN s.book IS NULL THEN 'open and not' ELSE 'not open and' END)
            FROM (cases c LEFT JOIN case_closings x ON x.book = c.book AND x.request_id = c.request_id AND x.ordinal = c.ordinal)
            FULL JOIN open_cases s ON s.book = c.book AND s.request_id = c.request_id AND s.ordinal = c.ordinal
            WHERE (c.book IS NOT NULL AND x.book IS NULL) IS DISTINCT FROM (s.book IS NOT NULL) LIMIT 1))`},

	// Transfers that a worker of a version before sent days has applied, then or beside newer ones, may be counted or not; a book knows which.
	{"I12", "what is counted of a user's date is what the applied transfers of that date say", `
WITH sums AS ( -- apart by counted, so that each payload is read once
    SELECT r.book, r.business_date, r.payload ->> 'from_user_id' AS user_id,
           o.first_transfer >= b.counted_from AND o.first_transfer < b.counted_to AS counted, count(*) AS transfers,
           sum((r.payload ->> 'amount')::numeric * 100)::bigint AS fen
    FROM requests r
    JOIN outcomes o ON o.book = r.book AND o.request_id = r.id
    JOIN books b ON b.book = r.book
    WHERE r.kind = 'transfer:send' AND o.result = 'applied'
    GROUP BY 1, 2, 3, 4
), days AS (
    SELECT book, business_date, user_id, sum(transfers) AS most, sum(fen) AS most_fen,
           coalesce(sum(transfers) FILTER (WHERE counted), 0) AS least, coalesce(sum(fen) FILTER (WHERE counted), 0) AS least_fen
    FROM sums
    GROUP BY book, business_date, user_id
)
SELECT (SELECT count(*) FROM sent_days),
       (SELECT format('user %s of book %s sent %s fen in %s transfers on %s, of which %s in %s had to be counted; counted are %s in %s',
                      coalesce(s.user_id, d.user_id), coalesce(s.book, d.book), coalesce(d.most_fen, 0), coalesce(d.most, 0),
                      coalesce(s.business_date, d.business_date), coalesce(d.least_fen, 0), coalesce(d.least, 0),
                      coalesce(s.sent_fen, 0), coalesce(s.transfers, 0))
        FROM sent_days s
        FULL JOIN days d ON d.book = s.book AND d.business_date = s.business_date AND d.user_id = s.user_id
        WHERE coalesce(s.sent_fen, 0) NOT BETWEEN coalesce(d.least_fen, 0) AND coalesce(d.most_fen, 0)
           OR coalesce(s.transfers, 0) NOT BETWEEN coalesce(d.least, 0) AND coalesce(d.most, 0)
        LIMIT 1)`},
}
