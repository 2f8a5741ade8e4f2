"""What every benchmark shares: interleaved rounds, load, processes, the machine, the table."""
