"""Replay: what another strategy or policy would have come to on the decisions that are logged."""
