"""What a combiner learns of its members from outcomes, row by row, with forgetting whose rate is chosen by what it predicts."""
