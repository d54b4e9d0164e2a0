-- Calls, their words, and the people who may see them. Times are milliseconds since 1970; words of
-- a closed set (statuses, roles) are the words of the JSON; truth is 0 or 1.

CREATE TABLE users (
    id            INTEGER PRIMARY KEY AUTOINCREMENT, -- never given out twice
    name          TEXT    NOT NULL,
    name_key      TEXT    NOT NULL UNIQUE, -- the name in lower case
    password_hash TEXT    NOT NULL,
    role          TEXT    NOT NULL,
    created_at    INTEGER NOT NULL
) STRICT;

CREATE TABLE sessions (
    hash       BLOB    PRIMARY KEY,
    user_id    INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    created_at INTEGER NOT NULL,
    used_at    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX sessions_by_user ON sessions (user_id, used_at);

CREATE TABLE api_tokens (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    hash       BLOB    NOT NULL UNIQUE,
    user_id    INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    name       TEXT    NOT NULL,
    scopes     TEXT    NOT NULL, -- JSON
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    used_at    INTEGER
) STRICT;

CREATE INDEX api_tokens_by_user ON api_tokens (user_id);

CREATE TABLE calls (
    id               INTEGER PRIMARY KEY,
    sid              TEXT    NOT NULL UNIQUE,
    -- What follows from the opening and the legs; written whenever one of them moves.
    direction        TEXT    NOT NULL,
    status           TEXT    NOT NULL,
    from_party       TEXT    NOT NULL,
    to_party         TEXT    NOT NULL,
    started_at       INTEGER NOT NULL,
    answered_at      INTEGER,
    ended_at         INTEGER,
    duration_seconds INTEGER,
    end_cause        TEXT,
    -- What was said when the call was opened; nothing while only its legs are known.
    opened_at        INTEGER,
    opened_direction TEXT,
    opened_from      TEXT,
    opened_to        TEXT,
    -- Why it ended, as this server knows better than the legs.
    own_cause        TEXT,
    user_id          INTEGER REFERENCES users (id) ON DELETE SET NULL,
    transcript       TEXT    NOT NULL,
    announced        INTEGER NOT NULL DEFAULT 0,
    has_audio        INTEGER NOT NULL DEFAULT 0,
    notes            TEXT    NOT NULL DEFAULT '',
    labels           TEXT    NOT NULL DEFAULT '[]' -- JSON
) STRICT;

CREATE INDEX calls_by_time ON calls (started_at, sid);
CREATE INDEX calls_by_user ON calls (user_id, started_at, sid);
CREATE INDEX calls_live ON calls (transcript) WHERE transcript = 'live';
CREATE INDEX calls_open ON calls (started_at) WHERE ended_at IS NULL;

CREATE TABLE legs (
    sid              TEXT    PRIMARY KEY,
    call_id          INTEGER NOT NULL REFERENCES calls (id) ON DELETE CASCADE,
    is_child         INTEGER NOT NULL,
    status           TEXT    NOT NULL,
    sequence         INTEGER,
    began_at         INTEGER,
    answered_at      INTEGER,
    ended_at         INTEGER,
    duration_seconds INTEGER,
    sip_code         INTEGER,
    from_party       TEXT    NOT NULL,
    to_party         TEXT    NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX legs_by_call ON legs (call_id);

CREATE TABLE streams (
    sid        TEXT    PRIMARY KEY,
    call_id    INTEGER NOT NULL REFERENCES calls (id) ON DELETE CASCADE,
    number     INTEGER NOT NULL,
    started_at INTEGER NOT NULL,
    ended_at   INTEGER,
    ended      TEXT
) STRICT, WITHOUT ROWID;

CREATE INDEX streams_by_call ON streams (call_id, number);
CREATE INDEX streams_open ON streams (sid) WHERE ended IS NULL;

CREATE TABLE recordings (
    id               INTEGER PRIMARY KEY AUTOINCREMENT, -- the order in which they became known
    sid              TEXT    NOT NULL UNIQUE,
    call_id          INTEGER NOT NULL REFERENCES calls (id) ON DELETE CASCADE,
    status           TEXT    NOT NULL,
    channels         INTEGER,
    duration_seconds INTEGER,
    started_at       INTEGER
) STRICT;

CREATE INDEX recordings_by_call ON recordings (call_id);

CREATE TABLE segments (
    id          INTEGER PRIMARY KEY, -- the search index's name for it
    call_id     INTEGER NOT NULL REFERENCES calls (id) ON DELETE CASCADE,
    segment_id  TEXT    NOT NULL,
    track       TEXT    NOT NULL,
    speaker     TEXT    NOT NULL,
    start_ms    INTEGER NOT NULL,
    end_ms      INTEGER NOT NULL,
    text        TEXT    NOT NULL,
    words       TEXT    NOT NULL, -- JSON
    language    TEXT    NOT NULL,
    latency_ms  INTEGER NOT NULL,
    transcribed INTEGER NOT NULL,
    UNIQUE (call_id, segment_id)
) STRICT;

CREATE INDEX segments_by_time ON segments (call_id, start_ms);

-- A call's own line of events; those of no call are the server's.
CREATE TABLE log_entries (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,
    call_id INTEGER REFERENCES calls (id) ON DELETE CASCADE,
    at      INTEGER NOT NULL,
    kind    TEXT    NOT NULL,
    detail  TEXT    NOT NULL,
    user_id INTEGER REFERENCES users (id) ON DELETE SET NULL
) STRICT;

CREATE INDEX log_entries_by_call ON log_entries (call_id, id);
CREATE INDEX log_entries_by_user ON log_entries (user_id) WHERE user_id IS NOT NULL;

-- Callbacks that have counted, so that repetitions are known.
CREATE TABLE callbacks (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,
    token   TEXT    NOT NULL UNIQUE,
    seen_at INTEGER NOT NULL
) STRICT;

-- Legs of calls that were deleted, so that a late callback does not bring one back.
CREATE TABLE deleted_legs (
    sid        TEXT    PRIMARY KEY,
    deleted_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX deleted_legs_by_time ON deleted_legs (deleted_at);

-- Full-text search. `secure-delete` takes a deleted row's words out of the index at once, instead
-- of leaving them until its parts are merged.
CREATE VIRTUAL TABLE segments_fts USING fts5 (
    text,
    content = 'segments', content_rowid = 'id', tokenize = 'unicode61 remove_diacritics 2'
);
INSERT INTO segments_fts (segments_fts, rank) VALUES ('secure-delete', 1);

CREATE TRIGGER segments_inserted AFTER INSERT ON segments BEGIN
    INSERT INTO segments_fts (rowid, text) VALUES (new.id, new.text);
END;
CREATE TRIGGER segments_deleted AFTER DELETE ON segments BEGIN
    INSERT INTO segments_fts (segments_fts, rowid, text) VALUES ('delete', old.id, old.text);
END;

CREATE VIRTUAL TABLE calls_fts USING fts5 (
    from_party, to_party, notes, labels,
    content = 'calls', content_rowid = 'id', tokenize = 'unicode61 remove_diacritics 2'
);
INSERT INTO calls_fts (calls_fts, rank) VALUES ('secure-delete', 1);

CREATE TRIGGER calls_inserted AFTER INSERT ON calls BEGIN
    INSERT INTO calls_fts (rowid, from_party, to_party, notes, labels)
    VALUES (new.id, new.from_party, new.to_party, new.notes, new.labels);
END;
CREATE TRIGGER calls_deleted AFTER DELETE ON calls BEGIN
    INSERT INTO calls_fts (calls_fts, rowid, from_party, to_party, notes, labels)
    VALUES ('delete', old.id, old.from_party, old.to_party, old.notes, old.labels);
END;
CREATE TRIGGER calls_updated AFTER UPDATE ON calls
WHEN old.from_party <> new.from_party OR old.to_party <> new.to_party
    OR old.notes <> new.notes OR old.labels <> new.labels
BEGIN
    INSERT INTO calls_fts (calls_fts, rowid, from_party, to_party, notes, labels)
    VALUES ('delete', old.id, old.from_party, old.to_party, old.notes, old.labels);
    INSERT INTO calls_fts (rowid, from_party, to_party, notes, labels)
    VALUES (new.id, new.from_party, new.to_party, new.notes, new.labels);
END;
