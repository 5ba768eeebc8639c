"""What a person sees of a comparison: an HTML report, pictures, and a table for the terminal."""
