"""Quorate: a pool of models behind one endpoint, and the proof of which ensemble wins on your traffic."""

__version__ = "0.1.0"
