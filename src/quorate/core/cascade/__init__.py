"""What a cascade has learned: how to combine any members that have answered, and whether to ask more of them."""
