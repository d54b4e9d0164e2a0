DROP TABLE placed_calls;
