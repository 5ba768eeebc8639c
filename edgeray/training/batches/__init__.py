"""Training in cycles of a fixed length (MEL): how many samples each learner gets is decided anew in each."""
