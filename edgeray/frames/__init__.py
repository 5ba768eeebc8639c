"""Packets that are to be done within a frame, live: computed where they come from, sent to a server, or dropped."""
