"""Seeing: pictures, ONNX models on one core, people, what they look like, who is who. No Ray, no sockets, no clock."""
