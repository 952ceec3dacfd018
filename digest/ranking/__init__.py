"""The ranker: papers and votes in, scores, picks and reasons out; no database, no clock."""
