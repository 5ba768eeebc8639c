"""Cameras' sources, on videos, folders and servers made here: each picture says by its grey which one it is."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeray.errors import BadInputError
from edgeray.streams.films import Video
from edgeray.streams.sources import Shot, SourceSpec, open_source

COUNT = 20
STEP = 10  # of grey, from one picture to the next: what JPEG does to it is less


def picture(number: int) -> Any:
    return np.full((48, 64, 3), 20 + STEP * number, np.uint8)


def number_of(pixels: Any) -> int:
    return round((float(np.median(pixels)) - 20) / STEP)


def write_video(path: Path, numbers: list[int]) -> Path:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10.0, (64, 48))
    assert writer.isOpened()
    for number in numbers:
        writer.write(picture(number))
    writer.release()
    return path


@pytest.fixture
def video(tmp_path: Path) -> str:
    return str(write_video(tmp_path / "grey.avi", list(range(COUNT))))


def shots(most: int = 1000, start: int = 0, **args: Any) -> list[Shot]:
    source = open_source(SourceSpec.of(args), start=start)
    try:
        return list(islice(source, most))
    finally:
        source.close()


def numbers(**args: Any) -> list[int]:
    return [number_of(shot.picture) for shot in shots(**args)]


def test_a_video_comes_picture_by_picture_with_its_time(video: str) -> None:
    found = shots(source=video)
    assert [shot.number for shot in found] == list(range(COUNT))
    assert [number_of(shot.picture) for shot in found] == list(range(COUNT))
    assert [shot.time_s for shot in found] == pytest.approx([n / 10 for n in range(COUNT)])
    assert found[0].picture.shape == (48, 64, 3)


def test_the_rate_chooses_pictures_by_their_time(video: str) -> None:
    half = shots(source=video, items_per_s=5.0)
    assert [number_of(shot.picture) for shot in half] == list(range(0, COUNT, 2))
    assert [shot.time_s for shot in half] == pytest.approx([n / 5 for n in range(COUNT // 2)])
    assert numbers(source=video, items_per_s=20.0) == [n for n in range(COUNT) for _ in range(2)]
    assert numbers(source=video, items_per_s=3.0) == [0, 3, 6, 10, 13, 16]


def test_it_ends_after_so_many_frames_and_repeats_until_then(video: str) -> None:
    assert numbers(source=video, frames=3) == [0, 1, 2]
    found = shots(source=video, frames=COUNT + 2, repeat=True)
    assert [number_of(shot.picture) for shot in found] == [*range(COUNT), 0, 1]
    assert found[-1].time_s == pytest.approx((COUNT + 1) / 10)


def test_a_later_start_is_the_same_film_without_what_came_before(video: str) -> None:
    whole = shots(source=video, repeat=True, most=50, shift_s=0.5)
    later = shots(source=video, repeat=True, most=10, shift_s=0.5, start=33)
    assert [(s.number, s.time_s, number_of(s.picture)) for s in later] == [
        (s.number, s.time_s, number_of(s.picture)) for s in whole[33:43]
    ]


def test_a_shifted_camera_sees_each_picture_once(video: str) -> None:
    assert numbers(source=video, shift_s=1.5) == [*range(15, COUNT), *range(15)]
    assert numbers(source=video, shift_s=-0.2, most=3) == [18, 19, 0]


def test_a_far_shift_is_found_by_seeking(tmp_path: Path) -> None:
    long = str(write_video(tmp_path / "long.avi", [n % COUNT for n in range(200)]))
    assert numbers(source=long, shift_s=17.3, most=3) == [13, 14, 15]


def test_crop_and_size(tmp_path: Path) -> None:
    quarters = np.zeros((40, 80, 3), np.uint8)
    quarters[:20, 40:] = 200
    cv2.imwrite(str(tmp_path / "a.png"), quarters)
    (shot,) = shots(source=str(tmp_path), crop=[0.5, 0.0, 1.0, 0.5])
    assert shot.picture.shape == (20, 40, 3)
    assert (shot.picture == 200).all()
    (shot,) = shots(source=str(tmp_path), crop=[0.5, 0.0, 1.0, 0.5], size=[10, 12])
    assert shot.picture.shape == (12, 10, 3)


def test_colours_change_as_told(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), np.full((8, 8, 3), (20, 20, 200), np.uint8))  # red

    def first(**look: Any) -> list[int]:
        (shot,) = shots(source=str(tmp_path), **look)
        return [int(level) for level in shot.picture[0, 0]]

    assert first() == [20, 20, 200]
    assert first(hue_deg=120.0) == [20, 200, 20]
    assert first(saturation=0.0) == [200, 200, 200]
    assert first(brightness=0.5) == [10, 10, 100]
    assert first(brightness=0.5, hue_deg=0.0) == pytest.approx([10, 10, 100], abs=1)


def test_tiles_are_the_film_at_other_times(video: str) -> None:
    found = shots(source=video, tiles=2)
    assert len(found) == COUNT
    for place in (0, 3, 19):
        whole = found[place].picture
        assert whole.shape == (48, 64, 3)
        corners = [whole[:24, :32], whole[:24, 32:], whole[24:, :32], whole[24:, 32:]]
        assert [number_of(corner) for corner in corners] == [(place + k * 5) % COUNT for k in range(4)]


def test_tiles_fill_a_picture_that_they_do_not_divide(video: str) -> None:
    whole = shots(source=video, tiles=3, size=[65, 50], most=1)[0].picture
    assert whole.shape == (50, 65, 3)
    assert [number_of(whole[row, column]) for row, column in ((0, 0), (0, 64), (49, 0), (49, 64))] == [
        0,
        4,
        13,
        17,
    ]


def test_still_is_the_place_without_what_moves_through(tmp_path: Path) -> None:
    for number in range(9):
        street = np.full((30, 90, 3), 90, np.uint8)
        street[:, number * 10 : number * 10 + 10] = 255
        cv2.imwrite(str(tmp_path / f"{number}.png"), street)
    found = shots(source=str(tmp_path), still=True, brightness=0.5)
    assert len(found) == 9
    assert all((shot.picture == 45).all() for shot in found)


def test_scenes_are_played_in_turn_while_the_film_goes_on(video: str) -> None:
    scenes = [{"seconds": 0.5}, {"seconds": 0.3, "brightness": 0.0}]
    found = shots(source=video, scenes=scenes, repeat=True, most=24)
    dark = [bool((shot.picture == 0).all()) for shot in found]
    assert dark == ([False] * 5 + [True] * 3) * 3
    bright = [
        (shot.number, number_of(shot.picture))
        for shot, is_dark in zip(found, dark, strict=True)
        if not is_dark
    ]
    assert bright == [(number, number % COUNT) for number, _ in bright]


def test_a_scene_changes_only_what_it_names(video: str) -> None:
    found = shots(
        source=video, size=[32, 24], scenes=[{"seconds": 0.1, "still": True}, {"seconds": 0.1}], most=2
    )
    assert [shot.picture.shape for shot in found] == [(24, 32, 3)] * 2
    assert number_of(found[1].picture) == 1


def test_images_of_a_folder_come_by_name(tmp_path: Path) -> None:
    for name, number in (("b.PNG", 1), ("a.png", 0), ("c.png", 2)):
        cv2.imwrite(str(tmp_path / name), picture(number))
    (tmp_path / "notes.txt").write_text("not an image")
    assert numbers(source=str(tmp_path)) == [0, 1, 2]
    assert numbers(source=str(tmp_path), repeat=True, most=5) == [0, 1, 2, 0, 1]


def test_an_asset_is_found_by_its_name() -> None:
    (shot,) = shots(source="vtest.avi", frames=1)
    assert shot.picture.shape == (576, 768, 3)


def test_a_film_that_is_shorter_than_it_says_ends_or_starts_again(
    video: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Video.__init__

    def promise(self: Video, source: str, name: str) -> None:
        real(self, source, name)
        self._count += 7

    monkeypatch.setattr(Video, "__init__", promise)
    assert numbers(source=video) == list(range(COUNT))
    assert numbers(source=video, repeat=True, most=COUNT + 2) == [*range(COUNT), 0, 1]


def test_pictures_that_are_passed_over_are_not_made(video: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    real = cv2.VideoCapture

    class Counting:
        def __init__(self, *args: Any) -> None:
            self._capture = real(*args)

        def retrieve(self) -> Any:
            made.append(1)
            return self._capture.retrieve()

        def __getattr__(self, name: str) -> Any:
            return getattr(self._capture, name)

    monkeypatch.setattr(cv2, "VideoCapture", Counting)
    assert numbers(source=video, items_per_s=2.0, shift_s=0.5) == [5, 10, 15, 0]
    assert len(made) == 5  # and one to see that the file is a video


# What is served


@contextmanager
def served(answer: Callable[[BaseHTTPRequestHandler], None]) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer(self)

        def log_message(self, *args: Any) -> None:
            """Not into the test's output."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_a_video_behind_a_url_is_a_film(video: str) -> None:
    data = Path(video).read_bytes()

    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("Content-Length", str(len(data)))
        request.send_header("Content-Type", "video/x-msvideo")
        request.end_headers()
        try:
            request.wfile.write(data)
        except OSError:
            return  # FFmpeg hangs up when it has seen enough

    with served(answer) as address:
        source = open_source(SourceSpec(source=f"{address}/grey.avi"))
        assert not source.live
        source.close()
        assert numbers(source=f"{address}/grey.avi", repeat=True, most=COUNT + 3) == [*range(COUNT), 0, 1, 2]


def parts(first: int, count: int) -> bytes:
    """MJPEG over HTTP, as network cameras send it."""
    whole = b""
    for number in range(first, first + count):
        data = cv2.imencode(".jpg", picture(number))[1].tobytes()
        whole += (
            b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(data) + data + b"\r\n"
        )
    return whole


def test_a_lost_stream_is_connected_again_and_said(caplog: pytest.LogCaptureFixture) -> None:
    asked = []

    def answer(request: BaseHTTPRequestHandler) -> None:
        asked.append(1)
        request.send_response(200)
        request.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        request.end_headers()
        try:
            request.wfile.write(parts(10 if len(asked) > 1 else 0, 6))
        except OSError:
            return

    caplog.set_level(logging.WARNING, "edgeray.streams.live")
    with served(answer) as address:
        url = address.replace("http://", "http://someone:secret@")
        source = open_source(SourceSpec(source=url, size=(32, 24)))
        assert source.live
        found = list(islice(source, 9))
        source.close()
    assert [shot.number for shot in found] == list(range(9))
    seen = [number_of(shot.picture) for shot in found]
    assert seen == sorted(seen)
    assert seen[0] < 6 <= 10 <= seen[-1]
    assert all(shot.picture.shape == (24, 32, 3) for shot in found)
    assert all(first.time_s < second.time_s for first, second in pairwise(found))
    assert [record.message.split(" ", 3)[3].split(";")[0] for record in caplog.records[:2]] == [
        "was lost",
        "is back",
    ]
    assert "secret" not in caplog.text


def test_a_closed_stream_ends_though_its_camera_is_gone() -> None:
    asked = []

    def answer(request: BaseHTTPRequestHandler) -> None:
        asked.append(1)
        if len(asked) > 1:
            request.send_error(503)
            return
        request.send_response(200)
        request.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        request.end_headers()
        request.wfile.write(parts(0, 5))

    with served(answer) as address:
        source = open_source(SourceSpec(source=address))
        found: list[Shot] = []
        done = threading.Event()

        def read() -> None:
            found.extend(source)
            done.set()

        threading.Thread(target=read, daemon=True).start()
        source.close()
        assert done.wait(20)
    assert len(found) <= 5


# What cannot be read


def test_a_source_that_is_not_there_is_named_with_the_remedy() -> None:
    with pytest.raises(
        BadInputError, match=r"camera source nothing\.mp4: there is no such file(.|\n)*remedy: .*copy it"
    ):
        open_source(SourceSpec(source="nothing.mp4"))


def test_a_file_that_is_no_video_and_an_empty_folder_are_refused(tmp_path: Path) -> None:
    (tmp_path / "text.avi").write_text("no video")
    with pytest.raises(BadInputError, match=r"text\.avi: no frame can be read"):
        open_source(SourceSpec(source=str(tmp_path / "text.avi")))
    with pytest.raises(BadInputError, match="holds no image"):
        open_source(
            SourceSpec(source=str(tmp_path / "."))
            if not any(tmp_path.glob("*.png"))
            else SourceSpec(source="")
        )
    (tmp_path / "broken.png").write_text("no image")
    with pytest.raises(BadInputError, match=r"broken\.png: no frame can be read"):
        open_source(SourceSpec(source=str(tmp_path)))


def test_an_address_that_does_not_answer_is_named_without_its_password() -> None:
    with served(lambda request: request.send_error(404)) as address:
        url = address.replace("http://", "http://someone:secret@")
        with pytest.raises(BadInputError, match="does not answer") as caught:
            open_source(SourceSpec(source=url))
    assert "secret" not in str(caught.value)
    assert "http://127.0.0.1" in str(caught.value)


def test_a_device_that_is_not_there_is_refused() -> None:
    with pytest.raises(BadInputError, match="camera source /dev/video97: it does not answer"):
        open_source(SourceSpec(source="/dev/video97"))


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ({}, "source"),
        ({"source": "a", "tile": 2}, "tile"),
        ({"source": "a", "items_per_s": 0.0}, "items_per_s 0.0; expected: more than 0"),
        ({"source": "a", "frames": 0}, "frames 0; expected: at least 1"),
        ({"source": "a", "crop": [0.5, 0.0, 0.5, 1.0]}, "crop"),
        ({"source": "a", "crop": [0.5, 0.0]}, "unpack"),
        ({"source": "a", "size": [0, 5]}, "size"),
        ({"source": "a", "tiles": 0}, "tiles 0; expected: at least 1"),
        ({"source": "a", "brightness": -1.0}, "brightness -1.0; expected: at least 0"),
        ({"source": "a", "scenes": [{"tiles": 2}]}, "seconds"),
        ({"source": "a", "scenes": [{"seconds": 0}]}, "a scene of 0 seconds"),
        ({"source": "a", "scenes": [{"seconds": 1, "source": "b"}]}, "source"),
        ({"source": "a", "scenes": [{"seconds": 1, "tiles": 0}]}, "tiles 0"),
    ],
)
def test_wrong_cameras_are_refused_with_what_was_found(args: dict[str, Any], said: str) -> None:
    with pytest.raises(BadInputError, match=f"{said}(.|\n)*expected: (.|\n)*remedy: "):
        SourceSpec.of(args)


@given(
    st.fixed_dictionaries(
        {"source": st.sampled_from(["vtest.avi", "rtsp://camera/1", "0"])},
        optional={
            "items_per_s": st.floats(0.1, 100),
            "frames": st.integers(1, 10**6),
            "repeat": st.booleans(),
            "crop": st.just([0.1, 0.2, 0.3, 1.0]),
            "size": st.lists(st.integers(1, 4000), min_size=2, max_size=2),
            "shift_s": st.floats(-100, 100),
            "tiles": st.integers(1, 4),
            "scenes": st.lists(
                st.fixed_dictionaries(
                    {"seconds": st.floats(0.1, 1000)},
                    optional={"still": st.booleans(), "size": st.just([4, 5])},
                ),
                max_size=3,
            ),
        },
    )
)  # fmt: skip
def test_a_camera_is_the_same_after_a_journey_as_plain_data(args: dict[str, Any]) -> None:
    spec = SourceSpec.of(args)
    assert SourceSpec.of(spec.as_args()) == spec
    assert {name: value for name, value in spec.as_args().items() if name in args} == args
