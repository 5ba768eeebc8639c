"""What was measured: typed records, from the node actors to the report."""
