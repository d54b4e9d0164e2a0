-- What people did on this server, apart from what happened to calls: with the client's address, and
-- with a count in place of entries that repeat. A user's number stays in it after the user is gone; it
-- is never given out twice.
CREATE TABLE server_log (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,
    at      INTEGER NOT NULL,
    last_at INTEGER NOT NULL,
    count   INTEGER NOT NULL,
    kind    TEXT    NOT NULL,
    detail  TEXT    NOT NULL,
    user_id INTEGER,
    address TEXT
) STRICT;

CREATE INDEX server_log_by_kind ON server_log (kind, user_id, at);
CREATE INDEX server_log_by_time ON server_log (at);

INSERT INTO server_log (at, last_at, count, kind, detail, user_id)
SELECT at, at, 1, kind, detail, user_id FROM log_entries WHERE call_id IS NULL ORDER BY id;
DELETE FROM log_entries WHERE call_id IS NULL;
