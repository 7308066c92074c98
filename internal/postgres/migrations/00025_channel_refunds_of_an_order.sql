-- How often channels were to be asked for refunds of an order: they limit it. What is counted is the orders to them themselves, so that
-- nothing can disagree with them, whichever version of a worker has stored them.

-- +goose Up
CREATE INDEX channel_refunds_of_an_order ON requests (book, (payload ->> 'order_id')) WHERE kind = 'refund:send';
