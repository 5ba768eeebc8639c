"""Training on points that devices collect interval by interval, and keep, send to each other, or discard."""
