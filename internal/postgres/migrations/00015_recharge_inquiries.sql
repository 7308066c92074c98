-- Which recharge orders their channels are still to be asked about, for the case that no notice of a payment comes. A row comes with its
-- order. It goes once the order is known as paid, or as never to be paid, or when it was asked about for the last time. due_at is when the
-- order is to be asked about, try_at from when on somebody may: later while a process is at it, and after the channel did not answer.

-- +goose Up
CREATE TABLE recharge_inquiries (
    recharge_id text        COLLATE "C" NOT NULL,
    channel     text        COLLATE "C" NOT NULL,
    due_at      timestamptz NOT NULL,
    try_at      timestamptz NOT NULL,
    CONSTRAINT recharge_order_has_one_inquiry PRIMARY KEY (recharge_id),
    CONSTRAINT recharge_inquiry_is_to_a_channel CHECK (channel IN ('wechat', 'alipay', 'unionpay', 'ecny')),
    CONSTRAINT recharge_inquiry_is_not_tried_before_it_is_due CHECK (try_at >= due_at)
) WITH (fillfactor = 80);
CREATE INDEX recharge_inquiries_by_when_to_try ON recharge_inquiries (channel, try_at);
-- Orders of the past are asked about as new ones are: up to three days after they expired.
INSERT INTO recharge_inquiries
SELECT o.recharge_id, o.channel, now(), now()
FROM recharge_orders o
WHERE o.expires_at > now() - interval '3 days'
  AND NOT EXISTS (SELECT FROM requests r WHERE r.kind = 'recharge:confirm' AND r.key = o.recharge_id);
GRANT SELECT, INSERT, DELETE ON recharge_inquiries TO settled_service;
GRANT UPDATE (due_at, try_at) ON recharge_inquiries TO settled_service;
