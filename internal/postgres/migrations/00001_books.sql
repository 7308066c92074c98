-- The books of a wallet: what was asked (requests), what became of it (outcomes), what moved (transfers), and the state that
-- decisions read. Every primary key leads with book. Foreign keys are left to the audit: they would cost a look-up per row on the
-- hot path, and only the ledger writes here (docs/adr/0003).

-- +goose Up
-- +goose StatementBegin
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'settled_service') THEN
        CREATE ROLE settled_service NOLOGIN;
    END IF;
EXCEPTION
    -- Roles belong to the server, not the database: another database's migration may create it at the same moment.
    WHEN duplicate_object OR unique_violation THEN NULL;
END
$$;
-- +goose StatementEnd

-- One row a book. A batch locks it first and holds it to its end, so a book has one writer at a time (docs/adr/0002).
CREATE TABLE books (
    book          smallint NOT NULL,
    next_account  bigint   NOT NULL DEFAULT 1,
    next_transfer bigint   NOT NULL DEFAULT 1,
    CONSTRAINT book_is_identified PRIMARY KEY (book),
    CONSTRAINT book_is_not_negative CHECK (book >= 0)
) WITH (fillfactor = 10);

-- +goose StatementBegin
CREATE FUNCTION create_books(wanted int) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    present int;
BEGIN
    IF wanted < 1 OR wanted > 1024 THEN
        RAISE EXCEPTION 'number of books is %, allowed is 1 to 1024', wanted USING ERRCODE = 'check_violation';
    END IF;
    LOCK TABLE books IN SHARE ROW EXCLUSIVE MODE;
    SELECT count(*) INTO present FROM books;
    IF present = 0 THEN
        INSERT INTO books (book) SELECT generate_series(0, wanted - 1);
    ELSIF present <> wanted THEN
        RAISE EXCEPTION 'the ledger has % books and cannot become %: a user''s book is fixed by their number', present, wanted
            USING ERRCODE = 'check_violation';
    END IF;
END
$$;

-- Called by writes that must change an exact number of rows; a mismatch means that somebody wrote behind the book's lock.
CREATE FUNCTION expect_rows(what text, actual bigint, expected bigint) RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
    IF actual <> expected THEN
        RAISE EXCEPTION '% changed % rows, expected %', what, actual, expected USING ERRCODE = 'serialization_failure';
    END IF;
    RETURN actual;
END
$$;

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
END
$$;
-- +goose StatementEnd

-- What was asked. payload is the canonical text of the request's content: equal contents have equal bytes. The unique key has no
-- book in front: on one PostgreSQL it makes a key unique across books, which also makes it unique within one (docs/adr/0004).
CREATE TABLE requests (
    book          smallint    NOT NULL,
    id            uuid        NOT NULL,
    kind          text        COLLATE "C" NOT NULL,
    key           text        COLLATE "C" NOT NULL,
    version       smallint    NOT NULL DEFAULT 1,
    payload       json        NOT NULL,
    producer      text        NOT NULL,
    occurred_at   timestamptz NOT NULL,
    business_date date        NOT NULL,
    accepted_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT request_is_identified_within_its_book PRIMARY KEY (book, id),
    CONSTRAINT request_key_is_unique_within_its_kind UNIQUE (kind, key),
    CONSTRAINT request_key_has_1_to_200_bytes CHECK (octet_length(key) BETWEEN 1 AND 200),
    CONSTRAINT request_version_is_positive CHECK (version > 0)
);

-- What is outstanding: a row lives from acceptance to outcome. accepted: to be rung; parked: waits for another request; dead: waits
-- for a person.
CREATE TABLE pending (
    book        smallint    NOT NULL,
    request_id  uuid        NOT NULL,
    kind        text        COLLATE "C" NOT NULL,
    state       text        COLLATE "C" NOT NULL DEFAULT 'accepted',
    accepted_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    ring_at     timestamptz NOT NULL,
    rings       int         NOT NULL DEFAULT 0,
    attempts    int         NOT NULL DEFAULT 0,
    waits_for   text        COLLATE "C",
    last_error  text,
    CONSTRAINT pending_request_is_identified_within_its_book PRIMARY KEY (book, request_id),
    CONSTRAINT pending_state_is_known CHECK (state IN ('accepted', 'parked', 'dead')),
    CONSTRAINT pending_request_waits_only_when_parked CHECK ((state = 'parked') = (waits_for IS NOT NULL)),
    CONSTRAINT dead_request_says_why CHECK (state <> 'dead' OR last_error IS NOT NULL)
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 50000,
        autovacuum_vacuum_insert_scale_factor = 0, autovacuum_vacuum_insert_threshold = 200000,
        autovacuum_vacuum_cost_delay = 0);
CREATE INDEX accepted_requests_by_when_to_ring ON pending (ring_at) WHERE state = 'accepted';
CREATE INDEX parked_requests_by_what_they_wait_for ON pending (book, waits_for) WHERE state = 'parked';
CREATE INDEX dead_requests_by_age ON pending (accepted_at) WHERE state = 'dead';

-- What became of a request: final. Its transfers are first_transfer .. first_transfer + transfers - 1 of the book's journal.
CREATE TABLE outcomes (
    book           smallint    NOT NULL,
    request_id     uuid        NOT NULL,
    result         text        COLLATE "C" NOT NULL,
    reason         text        COLLATE "C",
    detail         text,
    first_transfer bigint      NOT NULL,
    transfers      int         NOT NULL,
    attempts       int         NOT NULL,
    decided_at     timestamptz NOT NULL,
    CONSTRAINT request_has_at_most_one_outcome PRIMARY KEY (book, request_id),
    CONSTRAINT outcome_is_applied_or_rejected CHECK (result IN ('applied', 'rejected')),
    CONSTRAINT rejection_says_why CHECK ((result = 'rejected') = (reason IS NOT NULL)),
    CONSTRAINT rejection_moves_nothing CHECK (result = 'applied' OR transfers = 0),
    CONSTRAINT outcome_counts_its_transfers CHECK (transfers >= 0 AND first_transfer >= 1)
);

-- balance_fen is credits minus debits. Guarded accounts are users': they carry a version and keep their running balance on each
-- transfer. Unguarded accounts are settled's own and are changed once a batch.
CREATE TABLE accounts (
    book        smallint NOT NULL,
    id          bigint   NOT NULL,
    name        text     COLLATE "C" NOT NULL,
    kind        text     COLLATE "C" NOT NULL,
    guarded     boolean  NOT NULL,
    balance_fen bigint   NOT NULL DEFAULT 0,
    held_fen    bigint   NOT NULL DEFAULT 0,
    version     bigint   NOT NULL DEFAULT 0,
    CONSTRAINT account_is_identified_within_its_book PRIMARY KEY (book, id),
    CONSTRAINT account_name_is_unique_within_its_book UNIQUE (book, name),
    CONSTRAINT guarded_account_is_never_below_its_holds CHECK (NOT guarded OR balance_fen >= held_fen),
    CONSTRAINT hold_is_never_negative CHECK (held_fen >= 0),
    CONSTRAINT account_kind_is_known CHECK (kind IN ('user_cash', 'user_reward', 'user_wealth', 'merchant_payable',
        'channel_clearing', 'channel_refunding', 'channel_fees', 'promotion', 'suspense', 'wealth_assets', 'reserve_cash',
        'interbook')),
    CONSTRAINT accounts_of_users_are_guarded CHECK (guarded = (kind IN ('user_cash', 'user_reward', 'user_wealth')))
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02);

-- The journal of each book, numbered without gaps. The running balance and version are those of the account after the transfer;
-- they are null for unguarded accounts.
CREATE TABLE transfers (
    book               smallint    NOT NULL,
    seq                bigint      NOT NULL,
    request_id         uuid        NOT NULL,
    debit_account      bigint      NOT NULL,
    credit_account     bigint      NOT NULL,
    amount_fen         bigint      NOT NULL,
    debit_version      bigint,
    debit_balance_fen  bigint,
    credit_version     bigint,
    credit_balance_fen bigint,
    business_date      date        NOT NULL,
    posted_at          timestamptz NOT NULL,
    CONSTRAINT transfer_is_numbered_within_its_book PRIMARY KEY (book, seq),
    CONSTRAINT transfer_amount_is_positive CHECK (amount_fen > 0),
    CONSTRAINT transfer_has_two_different_accounts CHECK (debit_account <> credit_account),
    CONSTRAINT debited_version_comes_with_its_balance CHECK ((debit_version IS NULL) = (debit_balance_fen IS NULL)),
    CONSTRAINT credited_version_comes_with_its_balance CHECK ((credit_version IS NULL) = (credit_balance_fen IS NULL)),
    CONSTRAINT debited_user_is_never_negative CHECK (debit_balance_fen >= 0)
);
CREATE UNIQUE INDEX account_version_is_debited_once ON transfers (book, debit_account, debit_version)
    WHERE debit_version IS NOT NULL;
CREATE UNIQUE INDEX account_version_is_credited_once ON transfers (book, credit_account, credit_version)
    WHERE credit_version IS NOT NULL;

-- A captured payment. Immutable; what was refunded stands on its legs and lines.
CREATE TABLE orders (
    book          smallint    NOT NULL,
    order_id      text        COLLATE "C" NOT NULL,
    user_id       text        COLLATE "C" NOT NULL,
    merchant_id   text        COLLATE "C" NOT NULL,
    request_id    uuid        NOT NULL,
    captured_fen  bigint      NOT NULL,
    captured_at   timestamptz NOT NULL,
    CONSTRAINT order_is_captured_once PRIMARY KEY (book, order_id),
    CONSTRAINT order_captures_a_positive_amount CHECK (captured_fen > 0)
);

CREATE TABLE legs (
    book           smallint NOT NULL,
    order_id       text     COLLATE "C" NOT NULL,
    leg            smallint NOT NULL,
    source         text     COLLATE "C" NOT NULL,
    channel_txn_id text     COLLATE "C",
    captured_fen   bigint   NOT NULL,
    refunded_fen   bigint   NOT NULL DEFAULT 0,
    CONSTRAINT leg_is_numbered_within_its_order PRIMARY KEY (book, order_id, leg),
    CONSTRAINT leg_captures_a_positive_amount CHECK (captured_fen > 0),
    CONSTRAINT leg_is_never_refunded_beyond_its_capture CHECK (refunded_fen BETWEEN 0 AND captured_fen)
) WITH (fillfactor = 80);

-- allocated_fen[i] is what leg i paid of the line, refunded_fen[i] what went back to leg i for it.
CREATE TABLE order_lines (
    book          smallint NOT NULL,
    order_id      text     COLLATE "C" NOT NULL,
    line_id       text     COLLATE "C" NOT NULL,
    position      smallint NOT NULL,
    kind          text     COLLATE "C" NOT NULL,
    amount_fen    bigint   NOT NULL,
    allocated_fen bigint[] NOT NULL,
    refunded_fen  bigint[] NOT NULL,
    CONSTRAINT line_is_identified_within_its_order PRIMARY KEY (book, order_id, line_id),
    CONSTRAINT line_allocates_and_refunds_the_same_legs CHECK (cardinality(allocated_fen) = cardinality(refunded_fen))
) WITH (fillfactor = 80);

-- One payment of a channel funds one request, whatever the producer calls it.
CREATE TABLE channel_receipts (
    book           smallint NOT NULL,
    channel        text     COLLATE "C" NOT NULL,
    channel_txn_id text     COLLATE "C" NOT NULL,
    request_id     uuid     NOT NULL,
    CONSTRAINT channel_payment_is_booked_within_its_book PRIMARY KEY (book, channel, channel_txn_id),
    CONSTRAINT channel_payment_funds_one_request UNIQUE (channel, channel_txn_id)
);

CREATE TABLE enrolments (
    book            smallint NOT NULL,
    product_id      text     COLLATE "C" NOT NULL,
    user_id         text     COLLATE "C" NOT NULL,
    keep_fen        bigint   NOT NULL,
    consent_version text     NOT NULL,
    cash_account    bigint   NOT NULL,
    wealth_account  bigint   NOT NULL,
    request_id      uuid     NOT NULL,
    occurred_at     timestamptz NOT NULL,
    CONSTRAINT user_is_enrolled_once_per_product PRIMARY KEY (book, product_id, user_id),
    CONSTRAINT keep_amount_is_never_negative CHECK (keep_fen >= 0)
);

CREATE TABLE subscriptions (
    book           smallint NOT NULL,
    product_id     text     COLLATE "C" NOT NULL,
    business_date  date     NOT NULL,
    user_id        text     COLLATE "C" NOT NULL,
    amount_fen     bigint   NOT NULL,
    keep_fen       bigint   NOT NULL,
    cash_after_fen bigint   NOT NULL,
    state          text     COLLATE "C" NOT NULL DEFAULT 'pending',
    request_id     uuid     NOT NULL,
    transfer       bigint   NOT NULL,
    CONSTRAINT user_is_swept_once_per_product_and_date PRIMARY KEY (book, product_id, business_date, user_id),
    CONSTRAINT subscription_amount_is_positive CHECK (amount_fen > 0),
    CONSTRAINT sweep_leaves_the_keep_amount CHECK (cash_after_fen >= keep_fen AND keep_fen >= 0),
    CONSTRAINT subscription_state_is_known CHECK (state IN ('pending', 'confirmed', 'failed'))
);

-- What a person must decide: money that is safe but has no rule for where it goes next.
CREATE TABLE cases (
    book       smallint    NOT NULL,
    request_id uuid        NOT NULL,
    ordinal    smallint    NOT NULL,
    kind       text        COLLATE "C" NOT NULL,
    account    text        COLLATE "C" NOT NULL,
    amount_fen bigint      NOT NULL,
    detail     text        NOT NULL,
    opened_at  timestamptz NOT NULL,
    CONSTRAINT case_is_numbered_within_its_request PRIMARY KEY (book, request_id, ordinal),
    CONSTRAINT case_amount_is_positive CHECK (amount_fen > 0)
);

-- What happened to a request between acceptance and outcome, when it was more than one quiet attempt.
CREATE TABLE attempts (
    book       smallint    NOT NULL,
    request_id uuid        NOT NULL,
    at         timestamptz NOT NULL DEFAULT clock_timestamp(),
    event      text        COLLATE "C" NOT NULL,
    detail     text        NOT NULL DEFAULT '',
    CONSTRAINT attempt_event_is_known CHECK (event IN ('parked', 'woken', 'failed', 'dead', 'requeued', 'rung'))
);
CREATE INDEX attempts_of_a_request ON attempts (book, request_id, at);

-- Same kind and key, other content. The stored request stands; what was refused is told by its differing fields.
CREATE TABLE conflicts (
    book       smallint    NOT NULL,
    request_id uuid        NOT NULL,
    at         timestamptz NOT NULL DEFAULT clock_timestamp(),
    producer   text        NOT NULL,
    fields     json        NOT NULL
);
CREATE INDEX conflicts_of_a_request ON conflicts (book, request_id, at);

-- Queue tasks that name no request of ours: malformed, of an unknown version, or with an unknown id.
CREATE TABLE strays (
    at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    queue   text        NOT NULL,
    task_id text        NOT NULL,
    problem text        NOT NULL,
    excerpt text        NOT NULL,
    CONSTRAINT stray_excerpt_is_short CHECK (octet_length(excerpt) <= 1024)
);
CREATE INDEX strays_by_age ON strays (at);

-- The business settings that rules read; the newest version counts.
CREATE TABLE policies (
    version  int         NOT NULL,
    document json        NOT NULL,
    set_by   text        NOT NULL,
    set_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT policy_version_is_unique PRIMARY KEY (version)
);

-- +goose StatementBegin
DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['requests', 'outcomes', 'transfers', 'orders', 'channel_receipts', 'cases', 'attempts', 'conflicts',
                                'strays', 'policies'] LOOP
        EXECUTE format('CREATE TRIGGER %I BEFORE UPDATE OR DELETE OR TRUNCATE ON %I FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()',
            name || '_are_append_only', name);
        EXECUTE format('GRANT SELECT, INSERT ON %I TO settled_service', name);
    END LOOP;
END
$$;
-- +goose StatementEnd
GRANT SELECT, UPDATE ON books TO settled_service;
GRANT SELECT, INSERT ON accounts TO settled_service;
GRANT UPDATE (balance_fen, held_fen, version) ON accounts TO settled_service;
GRANT SELECT, INSERT ON legs, order_lines, subscriptions TO settled_service;
GRANT UPDATE (refunded_fen) ON legs TO settled_service;
GRANT UPDATE (refunded_fen) ON order_lines TO settled_service;
GRANT UPDATE (state) ON subscriptions TO settled_service;
GRANT SELECT, INSERT, UPDATE ON enrolments TO settled_service;
GRANT SELECT, INSERT, UPDATE, DELETE ON pending TO settled_service;
