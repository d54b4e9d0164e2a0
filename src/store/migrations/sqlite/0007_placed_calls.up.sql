-- The calls to numbers of the last day, apart from the calls' records: who deletes a record does not
-- call more.
CREATE TABLE placed_calls (
    sid      TEXT    PRIMARY KEY,
    user_id  INTEGER,
    at       INTEGER NOT NULL,
    ended_at INTEGER
) STRICT, WITHOUT ROWID;

CREATE INDEX placed_calls_by_time ON placed_calls (at);
