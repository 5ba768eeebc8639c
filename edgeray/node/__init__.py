"""The actor on each device: it launches stages, shapes the device's network, and reports what it measures."""
