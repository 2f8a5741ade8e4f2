"""Pages of selection: who is trusted where, regret over time, the frontier of a cascade."""
