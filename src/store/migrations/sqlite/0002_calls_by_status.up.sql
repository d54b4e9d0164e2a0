-- The list of calls that go on, or that failed: few among many, so that without an index every call
-- is looked at.
CREATE INDEX calls_by_status ON calls (status, started_at, sid);
