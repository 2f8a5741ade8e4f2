"""Auditing a pool: what each member is worth, which are alike, and which can go."""
