"""Pages of evidence: outcomes, replay, switches, captured data."""
