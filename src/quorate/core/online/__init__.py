"""What a combiner learns of its members from outcomes, row by row, at several rates of forgetting."""
