"""The decisions: pure functions from a snapshot of the cluster to plans. No Ray, no clock, no I/O."""
