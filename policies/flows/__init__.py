"""Routes and rates of flows on a shared network."""
