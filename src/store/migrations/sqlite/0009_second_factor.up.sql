-- What signing in takes beside the password.
CREATE TABLE totp (
    user_id    INTEGER PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE,
    secret     BLOB    NOT NULL, -- as it is: the server makes codes of it
    last_step  INTEGER NOT NULL, -- of the latest code that was used: each is good once
    created_at INTEGER NOT NULL
) STRICT;

CREATE TABLE passkeys (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    user_id       INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    credential_id BLOB    NOT NULL UNIQUE,
    user_handle   BLOB    NOT NULL, -- how the user's authenticators name the user
    name          TEXT    NOT NULL,
    credential    TEXT    NOT NULL, -- JSON: the public key, and what else verifies an answer
    created_at    INTEGER NOT NULL,
    used_at       INTEGER
) STRICT;

CREATE INDEX passkeys_by_user ON passkeys (user_id);

CREATE TABLE recovery_codes (
    user_id INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    hash    BLOB    NOT NULL,
    PRIMARY KEY (user_id, hash)
) STRICT, WITHOUT ROWID;
