-- Since when a request is parked: how long it waits is judged by it, not by its age. The default is for workers of an older version,
-- which park without a word of it; accepted and dead rows say nothing that counts.

-- +goose Up
ALTER TABLE pending ADD COLUMN parked_at timestamptz;
ALTER TABLE pending ALTER COLUMN parked_at SET DEFAULT clock_timestamp();
UPDATE pending SET parked_at = accepted_at WHERE state = 'parked';
ALTER TABLE pending ADD CONSTRAINT parked_request_says_since_when CHECK (state <> 'parked' OR parked_at IS NOT NULL);
CREATE INDEX parked_requests_by_since_when ON pending (parked_at) WHERE state = 'parked';
