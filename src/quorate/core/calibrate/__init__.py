"""Calibration: probabilities that come true as often as they say, fitted on what a strategy answers."""
