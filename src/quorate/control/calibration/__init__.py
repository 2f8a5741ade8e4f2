"""Calibration on live traffic: how far confidences are from outcomes, and fitting calibrations again."""
