DROP INDEX calls_by_status;
