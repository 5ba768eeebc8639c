"""Tasks of the Ray DAGs in test_spec_ray_dag.py, as a user writes them."""

import ray


@ray.remote
def camera(path: str, start: int = 0):
    yield from range(start, 3)


@ray.remote
def resize(frame, width: int = 640):
    return frame


@ray.remote
def fuse(left, right, weight: float = 0.5):
    return left, right, weight


@ray.remote
def count(*parts):
    return len(parts)


@ray.remote
def late(weight, frame):
    return frame


@ray.remote
def positional(frame, weight, /):
    return frame


@ray.remote
class Detector:
    def __init__(self, threshold: float, labels: tuple[str, ...] = ()):
        self.threshold = threshold

    def detect(self, frame):
        return frame, self.threshold

    def draw(self, frame, colour="red"):
        return frame

    def __call__(self, frame):
        return frame

    @ray.method(num_returns=2)
    def both(self, frame):
        return frame, frame


def plain(frame):
    return frame


wrapped = ray.remote(plain)
nameless = ray.remote(lambda frame: frame)


def local():
    @ray.remote
    def inner(frame):
        return frame

    return inner


rebound = ray.remote(local)
moved = plain


def plain(frame):
    return frame, "another"
