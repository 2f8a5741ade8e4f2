"""Everything that is promised of the serving plane, measured in one sequence."""
