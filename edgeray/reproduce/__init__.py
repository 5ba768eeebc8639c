"""The published experiments of ENTS (Zhang 2024, sec. 3.6), run again in the simulator and judged."""
