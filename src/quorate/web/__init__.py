"""What every HTTP server of Quorate shares: problems, keys, hosts, limits, headers; free of frameworks and numpy."""
