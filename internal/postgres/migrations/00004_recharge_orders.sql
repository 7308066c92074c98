-- What a user is about to pay into the balance: opened by a producer before the payer goes to the channel, and found again by the
-- number that the channel's notice carries. It holds no money: what was paid is a request, recharge:confirm under the order's id.

-- +goose Up
CREATE TABLE recharge_orders (
    book         smallint    NOT NULL,
    recharge_id  text        COLLATE "C" NOT NULL,
    user_id      text        COLLATE "C" NOT NULL,
    channel      text        COLLATE "C" NOT NULL,
    amount_fen   bigint      NOT NULL,
    out_trade_no text        COLLATE "C" NOT NULL,
    producer     text        COLLATE "C" NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires_at   timestamptz NOT NULL,
    closed_at    timestamptz,
    CONSTRAINT recharge_order_is_identified_within_its_book PRIMARY KEY (book, recharge_id),
    CONSTRAINT recharge_order_is_opened_once UNIQUE (recharge_id),
    CONSTRAINT recharge_order_has_a_number_of_its_own UNIQUE (out_trade_no),
    CONSTRAINT recharge_order_is_paid_through_a_channel CHECK (channel IN ('wechat', 'alipay', 'unionpay', 'ecny')),
    CONSTRAINT recharge_order_asks_for_a_positive_amount CHECK (amount_fen > 0),
    -- Letters and digits, 8 to 32: what WeChat Pay, Alipay, UnionPay and banks' e-CNY interfaces all take as a merchant's number.
    CONSTRAINT recharge_order_number_suits_every_channel CHECK (out_trade_no ~ '^[0-9A-Za-z]{8,32}$'),
    CONSTRAINT recharge_order_expires_after_it_was_opened CHECK (expires_at > created_at)
);

-- +goose StatementBegin
CREATE FUNCTION refuse_change_but_closing() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.closed_at IS NULL AND NEW.closed_at IS NOT NULL AND to_jsonb(OLD) - 'closed_at' = to_jsonb(NEW) - 'closed_at' THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION '% is append-only: a row can be closed once, and nothing else', TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
END
$$;
-- +goose StatementEnd
CREATE TRIGGER recharge_orders_are_only_closed BEFORE UPDATE ON recharge_orders
    FOR EACH ROW EXECUTE FUNCTION refuse_change_but_closing();
CREATE TRIGGER recharge_orders_are_append_only BEFORE DELETE OR TRUNCATE ON recharge_orders
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
GRANT SELECT, INSERT ON recharge_orders TO settled_service;
GRANT UPDATE (closed_at) ON recharge_orders TO settled_service;
