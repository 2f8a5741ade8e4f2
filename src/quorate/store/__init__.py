"""The SQL store: revisions, publications, keys, audit; SQLite by default, PostgreSQL by URL."""
