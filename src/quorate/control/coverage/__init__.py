"""How often the truth is in what answers promised."""
