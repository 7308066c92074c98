-- How often a refund's channel has refused it. Only that brings a refund:send to its end: its starts, which tell whether the channel may
-- have been asked, also count those that a process did not outlive. Refunds that wait now begin at none.

-- +goose Up
ALTER TABLE pending ADD COLUMN refusals int NOT NULL DEFAULT 0;
