-- Telling producers what became of their requests. A message is an outcome on its way to one endpoint, numbered without gaps within it;
-- what it says is read from the request and its outcome, which never change.

-- +goose Up
-- A book's outcomes are decided at strictly growing times, whatever the server's clock does: so a reader that remembers how far it
-- has come misses none.
ALTER TABLE books ADD COLUMN decided_at timestamptz NOT NULL DEFAULT 'epoch';
CREATE INDEX outcomes_by_when_they_were_decided ON outcomes (book, decided_at);
UPDATE books b SET decided_at = coalesce((SELECT max(o.decided_at) FROM outcomes o WHERE o.book = b.book), 'epoch');

-- Where a producer is told. An operator makes an endpoint, as the owner of the tables. secret is kept as it is, because messages are
-- signed with it: whoever may read this table can sign as settled does, towards these endpoints. told_since is for each book, from 0
-- on, the time of its last outcome before the endpoint was made or enabled: what was decided later is told. An endpoint that asked for
-- a pause is left alone until rests_until.
CREATE TABLE webhook_endpoints (
    id                     text          COLLATE "C" NOT NULL,
    producer               text          COLLATE "C" NOT NULL,
    url                    text          NOT NULL,
    events                 text[]        NOT NULL,
    secret                 bytea         NOT NULL,
    previous_secret        bytea,
    previous_secret_until  timestamptz,
    told_since             timestamptz[] NOT NULL,
    next_sequence          bigint        NOT NULL DEFAULT 1,
    rests_until            timestamptz   NOT NULL DEFAULT 'epoch',
    created_at             timestamptz   NOT NULL DEFAULT clock_timestamp(),
    created_by             text          NOT NULL,
    disabled_at            timestamptz,
    disabled_because       text,
    CONSTRAINT webhook_endpoint_is_identified PRIMARY KEY (id),
    CONSTRAINT webhook_endpoint_producer_has_1_to_64_bytes CHECK (octet_length(producer) BETWEEN 1 AND 64),
    CONSTRAINT webhook_url_has_1_to_2000_bytes CHECK (octet_length(url) BETWEEN 1 AND 2000),
    CONSTRAINT webhook_endpoint_wants_some_event CHECK (cardinality(events) > 0),
    CONSTRAINT webhook_secret_has_24_to_64_bytes CHECK (octet_length(secret) BETWEEN 24 AND 64),
    CONSTRAINT previous_webhook_secret_ends CHECK ((previous_secret IS NULL) = (previous_secret_until IS NULL)),
    CONSTRAINT webhook_endpoint_knows_where_the_books_stood CHECK (cardinality(told_since) > 0),
    CONSTRAINT webhook_sequence_begins_at_one CHECK (next_sequence >= 1),
    CONSTRAINT disabled_webhook_endpoint_says_why CHECK ((disabled_at IS NULL) = (disabled_because IS NULL))
) WITH (fillfactor = 20);

-- How far a book's outcomes have been turned into messages. The rows come with the first endpoint.
CREATE TABLE webhook_cursors (
    book       smallint    NOT NULL,
    decided_at timestamptz NOT NULL,
    CONSTRAINT webhook_cursor_is_one_per_book PRIMARY KEY (book)
) WITH (fillfactor = 10);

-- next_try_at of a message that a process has claimed is the end of its lease.
CREATE TABLE webhook_messages (
    endpoint_id  text        COLLATE "C" NOT NULL,
    sequence     bigint      NOT NULL,
    event        text        COLLATE "C" NOT NULL,
    book         smallint    NOT NULL,
    request_id   uuid        NOT NULL,
    state        text        COLLATE "C" NOT NULL DEFAULT 'waiting',
    attempts     int         NOT NULL DEFAULT 0,
    next_try_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    last_status  int,
    last_problem text,
    created_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    ended_at     timestamptz,
    CONSTRAINT webhook_message_is_numbered_within_its_endpoint PRIMARY KEY (endpoint_id, sequence),
    CONSTRAINT outcome_is_told_once_to_an_endpoint UNIQUE (endpoint_id, book, request_id),
    CONSTRAINT webhook_message_number_is_positive CHECK (sequence >= 1),
    CONSTRAINT webhook_attempts_are_never_negative CHECK (attempts >= 0),
    CONSTRAINT webhook_message_state_is_known CHECK (state IN ('waiting', 'delivered', 'dead')),
    CONSTRAINT webhook_message_ends_when_it_no_longer_waits CHECK ((state = 'waiting') = (ended_at IS NULL))
) WITH (fillfactor = 80);
CREATE INDEX waiting_webhook_messages_by_when_to_try ON webhook_messages (endpoint_id, next_try_at, sequence) WHERE state = 'waiting';
CREATE INDEX dead_webhook_messages_by_endpoint ON webhook_messages (endpoint_id, sequence) WHERE state = 'dead';

GRANT SELECT ON webhook_endpoints TO settled_service;
GRANT UPDATE (next_sequence, rests_until, disabled_at, disabled_because) ON webhook_endpoints TO settled_service;
GRANT SELECT ON webhook_cursors TO settled_service;
GRANT UPDATE (decided_at) ON webhook_cursors TO settled_service;
GRANT SELECT, INSERT ON webhook_messages TO settled_service;
GRANT UPDATE (state, attempts, next_try_at, last_status, last_problem, ended_at) ON webhook_messages TO settled_service;
