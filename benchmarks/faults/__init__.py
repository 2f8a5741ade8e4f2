"""What goes wrong on purpose, and what becomes of it."""
