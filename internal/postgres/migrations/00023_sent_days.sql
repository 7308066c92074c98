-- What a user has sent to others on a business date: the limits of a day are decided by it, under the book's lock. A day that has no row
-- has sent nothing. Transfers that were applied before this migration, or by a worker of a version before it that runs beside newer ones,
-- are not counted: a user's limits of the day of the upgrade may begin anew. Which transfers are counted a book knows: the sends among
-- those numbered from counted_from up to before counted_to. A newer worker that finds others behind counted_to begins there again.

-- +goose Up
CREATE TABLE sent_days (
    book          smallint NOT NULL,
    business_date date     NOT NULL,
    user_id       text     COLLATE "C" NOT NULL,
    sent_fen      bigint   NOT NULL,
    transfers     int      NOT NULL,
    CONSTRAINT user_has_one_sent_day_per_date PRIMARY KEY (book, business_date, user_id),
    CONSTRAINT sent_day_counts_a_transfer CHECK (transfers > 0),
    CONSTRAINT sent_day_counts_a_fen_per_transfer CHECK (sent_fen >= transfers)
) WITH (fillfactor = 80);
GRANT SELECT, INSERT ON sent_days TO settled_service;
GRANT UPDATE (sent_fen, transfers) ON sent_days TO settled_service;

ALTER TABLE books ADD COLUMN counted_from bigint NOT NULL DEFAULT 1, ADD COLUMN counted_to bigint NOT NULL DEFAULT 1;
UPDATE books SET counted_from = next_transfer, counted_to = next_transfer;
ALTER TABLE books ADD CONSTRAINT book_counts_transfers_that_it_has CHECK (counted_from BETWEEN 1 AND counted_to AND counted_to <= next_transfer);
