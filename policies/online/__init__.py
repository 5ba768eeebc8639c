"""Jobs that decide while they run: where their tasks are, and what their flows get."""
