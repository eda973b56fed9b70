-- What each node says for the alerts: that it is there, whether it makes backups, and what its last examination has
-- found, so that another one ends an alert of a node that is gone, and no finding of one that is there.
CREATE TABLE alert_nodes (
    node TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    seen_at BIGINT NOT NULL,
    backs_up BIGINT NOT NULL,
    examined_at BIGINT NOT NULL,
    -- A JSON list of sentences.
    found TEXT COLLATE "C" NOT NULL
);

-- Which of several recipients have confirmed.
ALTER TABLE alert_deliveries ADD COLUMN told TEXT COLLATE "C";

-- What is asked each second, of what waits or stands alone.
CREATE INDEX alerts_that_stand ON alerts (id) WHERE standing IS NOT NULL;
CREATE INDEX alert_deliveries_due ON alert_deliveries (destination_id, next_at, id) WHERE state = 'waiting';
CREATE INDEX alert_deliveries_in_turn ON alert_deliveries (destination_id, alert_id, id) WHERE state = 'waiting';
CREATE INDEX alert_deliveries_claimed ON alert_deliveries (claimed_by) WHERE claimed_by IS NOT NULL;
