"""Selection: which strategy is trusted, where, at what cost, and whether its confidences come true."""
