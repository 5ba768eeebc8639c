"""Which device takes which camera's stream, and where its people are re-identified (JSTSH and better)."""
