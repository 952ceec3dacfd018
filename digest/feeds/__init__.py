"""The sources: fetched, parsed into listings by one small reader per kind, and stored."""
