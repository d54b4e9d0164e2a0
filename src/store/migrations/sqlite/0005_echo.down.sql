-- The marks go; the words stay.
ALTER TABLE segments DROP COLUMN echo;
