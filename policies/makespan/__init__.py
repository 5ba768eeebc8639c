"""One-shot jobs: each task runs once, and the last is to end as soon as can be."""
