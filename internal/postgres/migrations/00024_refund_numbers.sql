-- The numbers under which channels are asked, as packages refund and wallet make them: what is asked for again after a failure is found from
-- the case of that failure, and the first number from what was asked. Tests compare both with the code.

-- +goose Up
-- refund_number is refund.Number: of a leg of a refund, the first time that its channel is asked.
CREATE FUNCTION refund_number(refund_id text, leg text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT left('rf' || encode(sha256(convert_to(refund_id || '/' || leg, 'UTF8')), 'hex'), 32)
$$;
-- return_number is wallet.ReturnNumber: of what a case:return sends.
CREATE FUNCTION return_number(book smallint, request_id uuid, ordinal smallint) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT left('rc' || encode(sha256(convert_to(book || '.' || request_id || '.' || ordinal, 'UTF8')), 'hex'), 32)
$$;
