"""What policies learn from joined decisions."""
