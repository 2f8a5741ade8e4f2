"""Experiments: strategies compared on live traffic, registered beforehand, with a verdict that holds."""
