INSERT INTO log_entries (at, kind, detail, user_id)
SELECT at, kind, detail, (SELECT id FROM users WHERE users.id = server_log.user_id)
FROM server_log ORDER BY id;
DROP TABLE server_log;
