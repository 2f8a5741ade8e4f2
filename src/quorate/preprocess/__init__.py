"""Declared, versioned input steps, used by training and serving alike."""

from quorate.preprocess.pipeline import Pipeline

__all__ = ["Pipeline"]
