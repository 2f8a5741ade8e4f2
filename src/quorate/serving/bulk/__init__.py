"""Batches: many rows through an endpoint in one request, streamed both ways; knows no transport."""
