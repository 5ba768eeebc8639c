"""Which helper gets this item: learning from one bit an item (TOOF, and better), and queue-based rivals."""
