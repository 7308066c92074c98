-- Producers make and change their own webhook endpoints over HTTP, so what serves may write them. Whose an endpoint is, its URL and its
-- events never change, and what was made stays.

-- +goose Up
GRANT INSERT (id, producer, url, events, secret, created_by, told_since) ON webhook_endpoints TO settled_service;
GRANT UPDATE (secret, previous_secret, previous_secret_until, told_since) ON webhook_endpoints TO settled_service;
GRANT INSERT ON webhook_cursors TO settled_service;

-- Waiting messages are listed by their numbers, and the first of them says how far an endpoint has come.
CREATE INDEX waiting_webhook_messages_by_endpoint ON webhook_messages (endpoint_id, sequence) WHERE state = 'waiting';
