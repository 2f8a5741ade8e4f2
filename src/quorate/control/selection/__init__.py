"""Selection: which member is trusted for which input, and what choosing has cost."""
