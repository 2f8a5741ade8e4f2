"""Schema changes, append-only: a released migration is never edited, a new one is added."""
