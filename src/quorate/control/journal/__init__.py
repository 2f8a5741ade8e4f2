"""What control does with the journals: ingest, compact, ship, delete."""
