-- Who says that a recharge was paid: the channel, when it has an order, or the producer who confirms it himself. An order and a producer's
-- confirmation that come at the same moment both write here first, and the later one finds what the earlier one wrote.

-- +goose Up
CREATE TABLE recharge_ids (
    recharge_id text    COLLATE "C" NOT NULL,
    ordered     boolean NOT NULL,
    CONSTRAINT recharge_is_confirmed_by_its_channel_or_by_a_producer PRIMARY KEY (recharge_id)
);
INSERT INTO recharge_ids SELECT recharge_id, true FROM recharge_orders;
CREATE TRIGGER recharge_ids_are_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON recharge_ids
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
GRANT SELECT, INSERT ON recharge_ids TO settled_service;
