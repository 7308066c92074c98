-- Workers tell how many orders wait for each channel and since when the first of them is due. They read everything that waits for that,
-- once a minute; by this they read the first of each channel, and count no more than they tell.

-- +goose Up
CREATE INDEX recharge_inquiries_by_when_due ON recharge_inquiries (channel, due_at);
