"""Items that go to helpers, one decision an item, and learning from whether they were back in time."""
