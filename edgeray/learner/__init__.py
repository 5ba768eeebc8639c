"""What dispatchers learned, kept on the head, so that it outlives them: one bit after the other, each once."""
