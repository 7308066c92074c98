-- Which refunds were asked of an order: people who answer a user's question look them up by the order. It costs an accepted refund
-- some 5 microseconds of PostgreSQL, and other requests nothing.

-- +goose Up
CREATE INDEX refunds_of_an_order ON requests (book, (payload ->> 'order_id'), id) WHERE kind = 'refund:apply';
