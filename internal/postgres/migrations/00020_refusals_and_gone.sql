-- How often a refund's channel has refused it. Only that brings a refund:send to its end: its starts, which tell whether the channel may
-- have been asked, also count those that a process did not outlive. Refunds that wait now begin at none.

-- +goose Up
ALTER TABLE pending ADD COLUMN refusals int NOT NULL DEFAULT 0;

-- A courier of a version before 00013 disables an endpoint that answered 410 without a word of gone; what it says of why tells it.
-- +goose StatementBegin
CREATE FUNCTION tell_gone() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.gone := true;
    RETURN NEW;
END
$$;
-- +goose StatementEnd
CREATE TRIGGER older_couriers_answer_of_gone_is_one BEFORE UPDATE OF disabled_at ON webhook_endpoints FOR EACH ROW
    WHEN (OLD.disabled_at IS NULL AND NEW.disabled_because = 'it answered 410 Gone' AND NOT NEW.gone)
    EXECUTE FUNCTION tell_gone();
UPDATE webhook_endpoints SET gone = true WHERE disabled_because = 'it answered 410 Gone' AND NOT gone;
