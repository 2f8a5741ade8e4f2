"""Whether Quorate stays as it is: memory over many requests, over load and unload, and answers over hot swaps."""
