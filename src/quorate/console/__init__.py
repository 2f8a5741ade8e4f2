"""The page: try an endpoint, and watch how it does. A process of its own, and a client of the two APIs."""
