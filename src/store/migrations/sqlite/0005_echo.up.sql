-- Whether a segment is the other party's words, which came back on this track.
ALTER TABLE segments ADD COLUMN echo INTEGER NOT NULL DEFAULT 0;
