# SPDX-License-Identifier: GPL-3.0-or-later
"""Where frames go: one H.264 film a camera, and one array file a camera for each other pass."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np

PASS_FILES = {  # pass: (dtype, components, what it is)
    "depth": (
        np.float32,
        (),
        "plane depth in metres: along the optical axis, not along the ray; inf where nothing is",
    ),
    "normal": (np.float16, (3,), "unit surface normal in world axes, Z up; 0 where nothing is"),
    "mask": (np.uint8, (), "0 place and sky, 1 first subject, 2 second"),
    "flow": (np.float32, (2,), "pixels (x right, y down) from this frame to the next"),
    "albedo": (
        np.uint8,
        (3,),
        "the surface's own colour without light, sRGB; 0 where nothing is",
    ),
}


class Film:
    """Writes one MP4 frame by frame: sRGB in, BT.709 out and tagged, exact frame rate."""

    def __init__(self, path: Path, width_px: int, height_px: int, fps: int, crf: int = 16) -> None:
        self._file = av.open(str(path), "w")
        stream = self._file.add_stream("libx264", rate=Fraction(fps))
        stream.width, stream.height, stream.pix_fmt = width_px, height_px, "yuv420p"
        # Many cameras are open at once: little look-ahead and one thread keep memory small.
        stream.options = {
            "crf": str(crf),
            "preset": "veryfast",
            "rc-lookahead": "5",
            # The last: the same pictures are the same bytes, wherever buffers lie.
            "x264-params": "colorprim=bt709:transfer=iec61966-2-1:colormatrix=bt709"
            ":cpu-independent=1",
        }
        stream.codec_context.thread_count = 1
        stream.codec_context.time_base = Fraction(1, fps)
        self._stream, self._count = stream, 0

    def add(self, rgb: np.ndarray) -> None:
        """Append a uint8 [H,W,3] picture."""
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format="rgb24")
        frame = frame.reformat(format="yuv420p", dst_colorspace="ITU709", dst_color_range="MPEG")
        frame.pts, self._count = self._count, self._count + 1
        self._file.mux(self._stream.encode(frame))

    def close(self) -> None:
        self._file.mux(self._stream.encode())
        self._file.close()


def open_array(path: Path, name: str, frames: int, height_px: int, width_px: int) -> np.ndarray:
    """A new .npy file [T,H,W(,C)] mapped for writing."""
    dtype, components, _ = PASS_FILES[name]
    path.parent.mkdir(parents=True, exist_ok=True)
    return np.lib.format.open_memmap(path, "w+", dtype, (frames, height_px, width_px, *components))
