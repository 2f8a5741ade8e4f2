"""Convolutional networks in PyTorch (the extra ``torch``), as members; nothing that serves imports this."""
