"""What becomes known about decisions: imported, joined, settled, measured."""
