-- The cases that nobody has decided: a row comes with a case and goes with its closing. Cases and closings are history and grow for ever;
-- what is open is listed, counted and aged by this table, as what is outstanding is by pending. Triggers keep it, so that it is right
-- whichever version of a worker opens or closes a case.

-- +goose Up
CREATE TABLE open_cases (
    book       smallint    NOT NULL,
    request_id uuid        NOT NULL,
    ordinal    smallint    NOT NULL,
    opened_at  timestamptz NOT NULL,
    CONSTRAINT open_case_is_listed_once PRIMARY KEY (book, request_id, ordinal)
);
CREATE INDEX open_cases_by_age ON open_cases (opened_at, book, request_id, ordinal);
GRANT SELECT, INSERT, DELETE ON open_cases TO settled_service;

-- +goose StatementBegin
CREATE FUNCTION list_open_case() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO open_cases (book, request_id, ordinal, opened_at) VALUES (NEW.book, NEW.request_id, NEW.ordinal, NEW.opened_at);
    RETURN NULL;
END
$$;
CREATE FUNCTION unlist_closed_case() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM open_cases WHERE book = NEW.book AND request_id = NEW.request_id AND ordinal = NEW.ordinal;
    RETURN NULL;
END
$$;
-- +goose StatementEnd
CREATE TRIGGER opened_cases_are_listed AFTER INSERT ON cases FOR EACH ROW EXECUTE FUNCTION list_open_case();
CREATE TRIGGER closed_cases_are_not_listed AFTER INSERT ON case_closings FOR EACH ROW EXECUTE FUNCTION unlist_closed_case();
-- The triggers' locks keep others from opening and closing cases until this is committed.
INSERT INTO open_cases (book, request_id, ordinal, opened_at)
SELECT c.book, c.request_id, c.ordinal, c.opened_at
FROM cases c
LEFT JOIN case_closings x ON x.book = c.book AND x.request_id = c.request_id AND x.ordinal = c.ordinal
WHERE x.book IS NULL;
