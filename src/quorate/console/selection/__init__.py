"""Pages of selection: who is trusted where, regret, the frontier of a cascade, reliability, pool audits."""
