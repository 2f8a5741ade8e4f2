"""The pages of experiments: all of them, planning one, and one with its reports."""
