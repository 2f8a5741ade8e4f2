"""Pool audits: what the members of a pool are worth on logged decisions or held-out rows, and which can go."""
