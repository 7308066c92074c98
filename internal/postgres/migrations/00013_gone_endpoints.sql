-- An endpoint that answered 410 is disabled by that answer and by no person: its outcomes still become messages, which wait until a person
-- enables it, or disables it for good. Those that are disabled by such an answer now are told from here on: what the cursors have passed
-- meanwhile is no message.

-- +goose Up
ALTER TABLE webhook_endpoints ADD COLUMN gone boolean NOT NULL DEFAULT false;
UPDATE webhook_endpoints SET gone = true WHERE disabled_because = 'it answered 410 Gone';
ALTER TABLE webhook_endpoints ADD CONSTRAINT gone_webhook_endpoint_is_disabled CHECK (NOT gone OR disabled_at IS NOT NULL);
GRANT UPDATE (gone) ON webhook_endpoints TO settled_service;
