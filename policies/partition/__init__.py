"""Split training: after which layer each device's part of the model ends, and at what rate it sends."""
