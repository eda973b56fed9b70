-- What each node says for the alerts: that it is there, whether it makes backups, and what its last examination has
-- found, so that another one ends an alert of a node that is gone, and no finding of one that is there.
CREATE TABLE alert_nodes (
    node TEXT NOT NULL PRIMARY KEY,
    seen_at INTEGER NOT NULL,
    backs_up INTEGER NOT NULL,
    examined_at INTEGER NOT NULL,
    -- A JSON list of sentences.
    found TEXT NOT NULL
) STRICT;

-- Which of several recipients have confirmed.
ALTER TABLE alert_deliveries ADD COLUMN told TEXT;

-- What is asked each second, of what waits or stands alone.
CREATE INDEX alerts_that_stand ON alerts (id) WHERE standing IS NOT NULL;
CREATE INDEX alert_deliveries_due ON alert_deliveries (destination_id, next_at, id) WHERE state = 'waiting';
CREATE INDEX alert_deliveries_in_turn ON alert_deliveries (destination_id, alert_id, id) WHERE state = 'waiting';
CREATE INDEX alert_deliveries_claimed ON alert_deliveries (claimed_by) WHERE claimed_by IS NOT NULL;
