"""Prediction with expert advice: weights over experts that are never much worse than the best of them."""
