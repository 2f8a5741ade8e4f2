"""Pages of policies: rules and learners."""
