-- Browsers that have said that they are registered at Twilio: calls ring them, also after a restart of
-- the server. Twilio keeps them until their pass expires.
CREATE TABLE registrations (
    id         TEXT    PRIMARY KEY,
    identity   TEXT    NOT NULL, -- names user, session and tab
    since      INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- What a session is called in its browser's identities at Twilio, where that is not the beginning of
-- its hash: a session that is renewed goes on under another hash.
ALTER TABLE sessions ADD COLUMN phone_tag INTEGER;
