"""What is promised of decisions: rules, bandits, experiments, replay and outcomes, each part in a module of its own."""
