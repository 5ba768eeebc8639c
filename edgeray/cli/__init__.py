"""What a person types. Progress and prose go to stderr, what was asked for to stdout."""
