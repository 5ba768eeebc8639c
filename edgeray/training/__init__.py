"""Training across devices: models cut between a device and the server, federated averaging. Import it lazily: torch."""
