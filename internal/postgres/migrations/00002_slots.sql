-- The scheduler's memory: one row for each run of a schedule that was due and has been asked for. The row and the requests of its run
-- are written in one transaction, so a slot that is claimed is a slot that is done: whatever comes after is the requests' own story.

-- +goose Up
CREATE TABLE slots (
    job           text        COLLATE "C" NOT NULL,
    business_date date        NOT NULL,
    due_at        timestamptz NOT NULL,
    claimed_by    text        NOT NULL,
    claimed_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    requests      text[]      NOT NULL,
    CONSTRAINT slot_is_claimed_once PRIMARY KEY (job, business_date),
    CONSTRAINT slot_job_has_1_to_64_bytes CHECK (octet_length(job) BETWEEN 1 AND 64),
    CONSTRAINT slot_is_due_on_its_business_date CHECK ((due_at AT TIME ZONE 'Asia/Shanghai')::date = business_date)
);
CREATE TRIGGER slots_are_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON slots
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
GRANT SELECT, INSERT ON slots TO settled_service;
