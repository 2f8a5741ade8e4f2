"""The same pool behind the same request, answered by Quorate, by programs people write instead, and by the limit."""
