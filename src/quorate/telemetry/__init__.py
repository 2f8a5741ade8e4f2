"""Counters and histograms in mapped files, one a process: cheap to write, alive after their writer's death."""
