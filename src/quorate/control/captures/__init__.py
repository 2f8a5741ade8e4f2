"""Captured inputs: kept, written as data sets, erased."""
