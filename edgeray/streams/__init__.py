"""Live camera streams: sources, edges that detect and re-identify, and what they remember."""
