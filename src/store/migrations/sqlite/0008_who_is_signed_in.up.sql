-- Which browser a session is, when its user last proved to be there, and whose password was set by
-- somebody else.
ALTER TABLE sessions ADD COLUMN address TEXT NOT NULL DEFAULT '';
ALTER TABLE sessions ADD COLUMN user_agent TEXT NOT NULL DEFAULT '';
ALTER TABLE sessions ADD COLUMN confirmed_at INTEGER NOT NULL DEFAULT 0;
ALTER TABLE users ADD COLUMN password_is_temporary INTEGER NOT NULL DEFAULT 0;
