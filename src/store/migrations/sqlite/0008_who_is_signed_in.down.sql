ALTER TABLE users DROP COLUMN password_is_temporary;
ALTER TABLE sessions DROP COLUMN confirmed_at;
ALTER TABLE sessions DROP COLUMN user_agent;
ALTER TABLE sessions DROP COLUMN address;
