# SPDX-License-Identifier: Apache-2.0
"""Clips survive the way to a file and back: rate, count, colours, metadata, bytes."""

import struct
from fractions import Fraction

import av
import numpy as np
import pytest

from syncam_engine.link.errors import SynCamError
from syncam_engine.media import read
from syncam_engine.media.read import Clip, read_clip, read_resampled, resample
from syncam_engine.media.write import write_mp4, write_png_sequence


def patches(count=7, height=34, width=58):
    """Strong colours that move: a wrong matrix, range or channel order shows."""
    colours = np.array([[230, 30, 40], [20, 200, 60], [25, 60, 220], [240, 240, 240], [12, 12, 12]])
    frames = np.zeros((count, height, width, 3), np.uint8)
    for t in range(count):
        for k, colour in enumerate(np.roll(colours, t, axis=0)):
            frames[t, :, k * width // 5 : (k + 1) * width // 5] = colour
    return frames


@pytest.mark.parametrize("fps", [Fraction(8), Fraction(24000, 1001), Fraction(15)])
def test_mp4_round_trip(tmp_path, fps):
    frames = patches()
    write_mp4(tmp_path / "a.mp4", frames, fps, {"seed": 7, "prompt": "ein Füchslein"}, crf=4)
    clip = read_clip(tmp_path / "a.mp4")
    assert clip.fps == fps
    assert clip.frames_THW3.shape == frames.shape
    assert clip.metadata == {"seed": 7, "prompt": "ein Füchslein"}
    assert np.allclose(np.diff(clip.times_s), 1 / float(fps), atol=1e-4)
    # Away from the patches' edges, where 4:2:0 mixes them.
    centres = [int((k + 0.5) * 58 / 5) for k in range(5)]
    inside = np.abs(clip.frames_THW3[:, 8:26, centres].astype(int) - frames[:, 8:26, centres])
    assert inside.max() <= 6


def test_mp4_is_tagged(tmp_path):
    write_mp4(tmp_path / "a.mp4", patches(3), Fraction(15))
    with av.open(str(tmp_path / "a.mp4")) as container:
        stream = container.streams.video[0]
        context = stream.codec_context
        assert (stream.frames, stream.average_rate) == (3, 15)
        assert (context.name, context.pix_fmt) == ("h264", "yuv420p")
        assert (context.color_primaries, context.color_trc, context.colorspace) == (1, 1, 1)
        assert context.color_range == 1


def test_mp4_same_frames_same_bytes(tmp_path):
    for name in ("a.mp4", "b.mp4"):
        write_mp4(tmp_path / name, patches(), Fraction(8), {"seed": 7})
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()


def test_odd_size_loses_one_line(tmp_path):
    write_mp4(tmp_path / "a.mp4", patches(2, 33, 57), Fraction(8))
    assert read_clip(tmp_path / "a.mp4").frames_THW3.shape == (2, 32, 56, 3)


def test_png_sequence_is_exact(tmp_path):
    from PIL import Image

    frames = patches(3)
    paths = write_png_sequence(tmp_path / "seq", frames)
    assert [path.name for path in paths] == [f"frame_000{k}.png" for k in (1, 2, 3)]
    assert np.array_equal(np.asarray(Image.open(paths[1])), frames[1])


def test_wrong_array_is_said(tmp_path):
    with pytest.raises(ValueError, match=r"got float64 \[2, 4, 4\]"):
        write_mp4(tmp_path / "a.mp4", np.zeros((2, 4, 4)), Fraction(8))


@pytest.mark.parametrize("matrix", [(0, 1, -1, 0), (-1, 0, 0, -1), (0, -1, 1, 0)])
def test_a_clip_that_says_how_it_was_held_is_turned(tmp_path, matrix):
    """As phones write them: the pictures as the sensor has them, a matrix in the track's header."""
    frames = np.full((3, 48, 96, 3), 40, np.uint8)
    frames[:, :24, :48] = (230, 40, 40)  # top left
    write_mp4(tmp_path / "held.mp4", frames, Fraction(15))
    data = bytearray((tmp_path / "held.mp4").read_bytes())
    a, b, c, d = (value << 16 for value in matrix)
    struct.pack_into(">9i", data, data.index(b"tkhd") + 44, a, b, 0, c, d, 0, 0, 0, 1 << 30)
    (tmp_path / "held.mp4").write_bytes(data)
    clip = read_clip(tmp_path / "held.mp4").frames_THW3
    # A point (x, y) from the middle is shown at (a x + c y, b x + d y).
    side_x, side_y = (-matrix[0] - matrix[2], -matrix[1] - matrix[3])
    height, width = clip.shape[1:3]
    assert (height, width) == ((48, 96) if matrix[0] else (96, 48))
    corner = clip[1, height // 2 + side_y * height // 4, width // 2 + side_x * width // 4]
    assert np.abs(corner.astype(int) - (230, 40, 40)).max() < 12


@pytest.mark.parametrize(
    "content", [b"", b"not a clip" * 50, b"\x00\x00\x00\x18ftypmp42" + b"\0" * 64]
)
def test_unreadable_clip_is_one_sentence(tmp_path, content):
    (tmp_path / "bad.mp4").write_bytes(content)
    with pytest.raises(SynCamError, match=r"bad\.mp4") as caught:
        read_clip(tmp_path / "bad.mp4")
    assert caught.value.code.startswith("clip.")


def numbered(count, fps):
    frames = np.arange(count, dtype=np.uint8)[:, None, None, None].repeat(4, 1).repeat(6, 2)
    frames = frames.repeat(3, 3)
    times = tuple(k / float(fps) for k in range(count))
    return Clip(frames_THW3=frames, fps=fps, times_s=times, metadata={})


@pytest.mark.parametrize(
    ("fps_in", "fps_out", "expected"),
    [
        (Fraction(24), Fraction(8), [0, 3, 6, 9, 9]),  # every third, then the last is held
        (Fraction(8), Fraction(16), [0, 0, 1, 1, 2]),  # each shown twice
        (Fraction(30000, 1001), Fraction(30000, 1001), [0, 1, 2, 3, 4]),
    ],
)
def test_resampling_rule(fps_in, fps_out, expected):
    out = resample(numbered(10, fps_in), 5, fps_out)
    assert out[:, 0, 0, 0].tolist() == expected


def count_decoded(monkeypatch):
    """Frames that are converted from here on."""
    seen = []
    monkeypatch.setattr(
        read, "rgb_of", lambda *a, convert=read.rgb_of: seen.append(a) or convert(*a)
    )
    return seen


@pytest.mark.parametrize("fps", [Fraction(15), Fraction(8), Fraction(30000, 1001), Fraction(50)])
def test_of_a_long_clip_only_what_is_shown_is_converted(tmp_path, monkeypatch, fps):
    write_mp4(tmp_path / "long.mp4", patches(120), Fraction(30), crf=30)
    wanted = resample(read_clip(tmp_path / "long.mp4"), 7, fps)
    seen = count_decoded(monkeypatch)
    assert (read_resampled(tmp_path / "long.mp4", 7, fps) == wanted).all()
    assert len(seen) <= 7
    short = resample(read_clip(tmp_path / "long.mp4"), 500, fps)
    assert (read_resampled(tmp_path / "long.mp4", 500, fps) == short).all(), "the last one is held"


def bomb(path, *, size=4096, pictures=4, step_s=Fraction(1, 1_000_000)):
    """Plain pictures, a microsecond apart: little to send and much to decode."""
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=1000)
        stream.width = stream.height = size
        stream.pix_fmt, stream.options = "yuv420p", {"preset": "ultrafast", "bf": "0"}
        stream.codec_context.time_base = step_s
        grey = np.full((size * 3 // 2, size), 128, np.uint8)
        for k in range(pictures):
            frame = av.VideoFrame.from_ndarray(grey, format="yuv420p")
            frame.pts, frame.time_base = k, step_s
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def test_pictures_beyond_the_limit_are_refused_before_one_is_decoded(tmp_path, monkeypatch):
    bomb(tmp_path / "bomb.mp4", size=256, pictures=40)
    monkeypatch.setattr(read, "MOST_DECODED_PIXELS", 39 * 256 * 256)
    container = []
    opened = read._opened
    monkeypatch.setattr(
        read, "_opened", lambda path: container.append(opened(path)) or container[-1]
    )
    with pytest.raises(SynCamError, match="39 of that size are the most") as caught:
        read_resampled(tmp_path / "bomb.mp4", 5, Fraction(15))
    assert caught.value.code == "clip.size"
    assert len(container) == 1, "its packets were looked at, and nothing else"
    monkeypatch.undo()
    assert read_resampled(tmp_path / "bomb.mp4", 5, Fraction(15)).shape == (5, 256, 256, 3)


def test_a_clip_read_whole_is_limited(tmp_path, monkeypatch):
    write_mp4(tmp_path / "a.mp4", patches(5), Fraction(8))
    monkeypatch.setattr(read, "MOST_KEPT_PIXELS", 4 * 34 * 58)
    with pytest.raises(SynCamError, match="more than 4 pictures of 58x34"):
        read_clip(tmp_path / "a.mp4")


def test_a_large_picture_is_made_smaller_as_it_is_decoded(tmp_path):
    from PIL import Image

    left_red = np.zeros((900, 1600, 3), np.uint8)
    left_red[:, :800, 0] = 240
    Image.fromarray(left_red).save(tmp_path / "large.png")
    sizes = []
    fit = lambda picture: sizes.append(picture.shape) or picture  # noqa: E731
    path = tmp_path / "large.png"
    shown = read_resampled(path, 17, Fraction(15), most_pixels=160 * 90, fit=fit)
    assert sizes == [(90, 160, 3)], "one picture, and that small"
    assert shown.shape == (17, 90, 160, 3)
    assert (shown[16, :, :78, 0] > 230).all()
    assert (shown[16, :, 82:, 0] < 9).all()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a list of files", b"ffconcat version 1.0\nfile a.mp4\n"),
        ("a playlist", b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\na.mp4\n#EXT-X-ENDLIST\n"),
        ("a drawing", b'<svg xmlns="http://www.w3.org/2000/svg" width="64" height="64"></svg>'),
        ("an edit list", b"; FFMETADATA1\ntitle=a\n"),
    ],
)
def test_text_is_no_clip(tmp_path, name, content):
    write_mp4(tmp_path / "a.mp4", patches(), Fraction(8))
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SynCamError) as caught:
        read_resampled(tmp_path / name, 5, Fraction(8))
    assert caught.value.code in ("clip.format", "clip.unreadable")
    assert str(tmp_path) not in str(caught.value)


def test_formats_that_are_not_read_are_told_which_are(tmp_path):
    svg = b'<svg xmlns="http://www.w3.org/2000/svg" width="64" height="64"></svg>'
    (tmp_path / "drawing").write_bytes(svg)
    with pytest.raises(SynCamError, match="MP4 and MOV, Matroska and WebM, AVI") as caught:
        read_clip(tmp_path / "drawing")
    assert caught.value.code == "clip.format"


@pytest.mark.parametrize("kind", ["png", "jpeg", "webp", "tiff", "bmp", "gif"])
def test_pictures_are_clips_by_what_is_in_them(tmp_path, kind):
    from PIL import Image

    Image.fromarray(patches(1)[0]).save(tmp_path / "picture", format=kind)
    assert read_resampled(tmp_path / "picture", 3, Fraction(8)).shape == (3, 34, 58, 3)


def test_the_same_pictures_are_the_same_bytes(tmp_path):
    """Wherever buffers happen to lie: x264 left to itself gives two or three files by turns."""
    blocks = np.random.default_rng(0).integers(0, 256, (5, 6, 10, 3), dtype=np.uint8)
    frames = blocks.repeat(16, 1).repeat(16, 2)
    files = set()
    for _ in range(12):
        held = np.random.default_rng(1).bytes(200_000)  # moves what is allocated after it
        write_mp4(tmp_path / "same.mp4", frames, Fraction(15))
        files.add((tmp_path / "same.mp4").read_bytes())
        del held
    assert len(files) == 1
