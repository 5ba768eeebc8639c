"""Bandwidth and routes of flows on one device, kept by traffic control."""
