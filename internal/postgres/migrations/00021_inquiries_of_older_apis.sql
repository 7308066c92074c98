-- An API of a version before 00015 opens orders without an inquiry, as long as it runs beside newer ones. They are asked about as well:
-- five minutes after they were opened, and then by the schedule. Newer ones store the inquiry themselves, in the statement that opens the
-- order, before this looks.

-- +goose Up
-- +goose StatementBegin
CREATE FUNCTION inquire_about_order() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO recharge_inquiries (recharge_id, channel, due_at, try_at)
    VALUES (NEW.recharge_id, NEW.channel, NEW.created_at + interval '5 minutes', NEW.created_at + interval '5 minutes')
    ON CONFLICT DO NOTHING;
    RETURN NULL;
END
$$;
-- +goose StatementEnd
CREATE TRIGGER older_apis_orders_are_inquired_about AFTER INSERT ON recharge_orders FOR EACH ROW
    EXECUTE FUNCTION inquire_about_order();
