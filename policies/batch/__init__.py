"""How many samples each learner gets, so that as many local iterations as possible fit a fixed cycle (MEL)."""
