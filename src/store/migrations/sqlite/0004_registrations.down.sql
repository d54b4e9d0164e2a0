ALTER TABLE sessions DROP COLUMN phone_tag;
DROP TABLE registrations;
