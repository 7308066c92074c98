-- How a case was closed: by whom, why, and by which request, which stands in the case's book and moved its money. A case stays as it was
-- opened; it is open while no row here names it.

-- +goose Up
CREATE TABLE case_closings (
    book               smallint    NOT NULL,
    request_id         uuid        NOT NULL,
    ordinal            smallint    NOT NULL,
    closing_request_id uuid        NOT NULL,
    closed_by          text        NOT NULL,
    note               text        NOT NULL,
    closed_at          timestamptz NOT NULL,
    CONSTRAINT case_is_closed_once PRIMARY KEY (book, request_id, ordinal),
    CONSTRAINT request_closes_one_case UNIQUE (book, closing_request_id),
    CONSTRAINT closing_says_by_whom CHECK (closed_by <> ''),
    CONSTRAINT closing_says_why CHECK (note <> ''),
    CONSTRAINT case_is_not_closed_by_what_opened_it CHECK (closing_request_id <> request_id)
);
CREATE TRIGGER case_closings_are_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON case_closings
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
GRANT SELECT, INSERT ON case_closings TO settled_service;
CREATE INDEX cases_by_age ON cases (opened_at, book, request_id, ordinal);

-- A failed refund that its channel has paid after all is no case any more.
INSERT INTO case_closings (book, request_id, ordinal, closing_request_id, closed_by, note, closed_at)
SELECT c.book, c.request_id, c.ordinal, v.id, 'settled', 'the channel has paid after all', o.decided_at
FROM cases c
JOIN requests a ON a.book = c.book AND a.id = c.request_id AND a.kind = 'refund:answer'
JOIN requests v ON v.kind = 'refund:revise' AND v.key = a.key AND v.book = a.book
JOIN outcomes o ON o.book = v.book AND o.request_id = v.id AND o.result = 'applied'
WHERE c.kind = 'failed_refund';
