"""Where collected data is trained on: kept, sent to a neighbour or discarded (network-aware learning in the fog)."""
