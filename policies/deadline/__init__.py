"""Frames with hard deadlines on one shared link: compute locally, send in a granted slot, or drop (JOS, DJOS)."""
