"""The scheduler: state.py decides (pure), service.py carries out."""
