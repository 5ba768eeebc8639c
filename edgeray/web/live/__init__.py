"""The runtime's live page: what the scheduler tells, kept for half an hour, and shown in a browser."""
