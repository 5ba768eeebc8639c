"""EdgeRay: laptops, Jetsons and Raspberry Pis as one machine for AI dataflows."""

__version__ = "0.1.0"
