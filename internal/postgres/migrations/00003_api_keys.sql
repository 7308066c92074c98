-- Who may ask over HTTP. A key is made and revoked by an operator, as the owner of the tables: the serving processes may only read
-- keys, so that none of them can make itself one. The secret itself is stored nowhere.

-- +goose Up
CREATE TABLE api_keys (
    id            text        COLLATE "C" NOT NULL,
    producer      text        COLLATE "C" NOT NULL,
    label         text        NOT NULL DEFAULT '',
    scopes        text[]      NOT NULL,
    secret_sha256 bytea       NOT NULL,
    created_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    created_by    text        NOT NULL,
    revoked_at    timestamptz,
    revoked_by    text,
    CONSTRAINT api_key_is_identified PRIMARY KEY (id),
    CONSTRAINT api_key_id_has_16_hex_digits CHECK (id ~ '^[0-9a-f]{16}$'),
    CONSTRAINT api_key_producer_has_1_to_64_bytes CHECK (octet_length(producer) BETWEEN 1 AND 64),
    CONSTRAINT api_key_label_is_short CHECK (octet_length(label) <= 200),
    CONSTRAINT api_key_may_do_something CHECK (cardinality(scopes) > 0),
    CONSTRAINT api_key_secret_is_hashed CHECK (octet_length(secret_sha256) = 32),
    CONSTRAINT revocation_says_who CHECK ((revoked_at IS NULL) = (revoked_by IS NULL))
);

-- +goose StatementBegin
CREATE FUNCTION refuse_change_but_revocation() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.revoked_at IS NULL AND NEW.revoked_at IS NOT NULL
        AND to_jsonb(OLD) - 'revoked_at' - 'revoked_by' = to_jsonb(NEW) - 'revoked_at' - 'revoked_by' THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION '% is append-only: a row can be revoked once, and nothing else', TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
END
$$;
-- +goose StatementEnd
CREATE TRIGGER api_keys_are_only_revoked BEFORE UPDATE ON api_keys
    FOR EACH ROW EXECUTE FUNCTION refuse_change_but_revocation();
CREATE TRIGGER api_keys_are_append_only BEFORE DELETE OR TRUNCATE ON api_keys
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
GRANT SELECT ON api_keys TO settled_service;
