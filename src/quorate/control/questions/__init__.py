"""Questions about the past that control answers in the background: one at a time, each in a process of its own."""
