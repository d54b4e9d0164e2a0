-- Browsers that have signed in before: guesses of others do not hold them back. The hash is of a
-- secret in the browser's cookie, which lets nobody in.
CREATE TABLE known_browsers (
    hash         BLOB    NOT NULL,
    user_id      INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    signed_in_at INTEGER NOT NULL,
    PRIMARY KEY (hash, user_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX known_browsers_by_user ON known_browsers (user_id, signed_in_at);
