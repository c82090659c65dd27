"""From a file to pixels: numbers of many bits, the right way up, only decoders of pictures, headers alone."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps

from firerl.envs.images.files import decoding
from firerl.envs.images.files.decoding import DRAWS, Look, Piece

RAMP = np.tile(np.linspace(0, 65535, 64).astype(np.uint16), (64, 1))


def why(path: Path, white: float | None = None) -> str:
    return decoding.read(Look([str(path)], white), np.empty((0, 1, 1, 3), np.uint8))[0]


def seen(path: Path, size: int = 56, white: float | None = None, draws: Any = None) -> np.ndarray:
    out = np.zeros((1, size, size, 3), dtype=np.uint8)
    [told] = decoding.read(Piece([str(path)], draws, size, False, white), out)
    assert told == ""
    return out[0]


def png16(colours: int, rows: list[bytes]) -> bytes:
    """A PNG of 64 x 64 with 16 bits a number, which Pillow does not write: colours 2 RGB, 4 grey with alpha."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = struct.pack(">IIBBBBB", 64, 64, 16, colours, 0, 0, 0)
    pixels = zlib.compress(b"".join(b"\0" + row for row in rows))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def saved(image: Any, kind: str) -> bytes:
    buffer = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(buffer, kind)
    return buffer.getvalue()


RAMPS = {
    "grey16.png": saved(RAMP, "PNG"),
    "grey16.tif": saved(RAMP, "TIFF"),
    "big_endian.tif": saved(RAMP.astype(">u2"), "TIFF"),
    "grey16.pgm": b"P5 64 64 65535\n" + RAMP.astype(">u2").tobytes(),
    "grey12.pgm": b"P5 64 64 4095\n" + (RAMP // 16).astype(">u2").tobytes(),
    "rgb16.png": png16(2, [row.tobytes() for row in np.repeat(RAMP.astype(">u2")[..., None], 3, 2)]),
    "grey_alpha16.png": png16(4, [r.tobytes() for r in np.stack([RAMP, np.full_like(RAMP, 65535)], -1).astype(">u2")]),
    "grey16.jp2": saved(RAMP, "JPEG2000"),
    "grey8.bmp": saved((RAMP >> 8).astype(np.uint8), "BMP"),
}


@pytest.mark.parametrize("name", RAMPS)
def test_a_ramp_is_a_ramp_with_any_number_of_bits(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(RAMPS[name])
    assert why(tmp_path / name) == ""
    row = seen(tmp_path / name)[28, :, 0].astype(int)
    expected = np.linspace(0, 255, 64)[4:60]
    assert np.abs(row - expected).max() <= 6


@pytest.mark.parametrize("kind", [np.float32, np.int32])
def test_what_is_white_of_32_bits_must_be_said(tmp_path: Path, kind: Any) -> None:
    path = tmp_path / "a.tif"
    path.write_bytes(saved((RAMP / 64).astype(kind), "TIFF"))
    assert "data.white must say which number is white" in why(path)
    assert why(path, white=1023.0) == ""
    row = seen(path, white=1023.0)[28, :, 0].astype(int)
    assert np.abs(row - np.linspace(0, 255, 64)[4:60]).max() <= 6
    assert seen(path, white=500.0)[28, 40:].min() == 255  # beyond it all is white
    holes = np.where(RAMP < 20000, np.nan, RAMP).astype(np.float32)
    path.write_bytes(saved(holes, "TIFF"))
    assert seen(path, white=65535.0)[28, 0, 0] == 0


KINDS = ["1", "L", "LA", "P", "RGBA", "CMYK"]


@pytest.mark.parametrize("mode", KINDS)
def test_every_usual_kind_becomes_rgb(tmp_path: Path, mode: str) -> None:
    kind = {"CMYK": "TIFF"}.get(mode, "PNG")
    image = Image.fromarray(np.repeat((RAMP >> 8).astype(np.uint8)[..., None], 3, 2))
    (tmp_path / "a").write_bytes(saved(image.convert(mode), kind))
    assert why(tmp_path / "a") == ""
    row = seen(tmp_path / "a")[28, :, 0]
    assert row[:8].mean() < 60 < 190 < row[-8:].mean()  # black and white alone: by how many dots are white


def test_the_first_picture_of_several_is_taken(tmp_path: Path) -> None:
    pictures = [Image.new("RGB", (32, 32), colour) for colour in ("#c00000", "#00c000", "#0000c0")]
    for kind in ("GIF", "WEBP", "TIFF", "PNG"):
        path = tmp_path / f"a.{kind}"
        pictures[0].save(path, kind, save_all=True, append_images=pictures[1:])
        red, green, blue = seen(path, 16)[8, 8]
        assert red > 180, kind
        assert max(green, blue) < 20, kind


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_images_are_seen_the_right_way_up(tmp_path: Path, kind: str) -> None:
    """What is seen is what is seen of the picture that a viewer shows, for all eight ways to hold a camera."""
    rng = np.random.default_rng(0)
    pixels = np.kron(rng.integers(0, 256, (4, 6, 3)), np.ones((16, 16, 1))).astype(np.uint8)
    draws = np.append(rng.random(DRAWS - 1), 0.9)[None]
    for turned in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = turned
        path = tmp_path / f"{turned}.{kind}"
        more = {"quality": 95} if kind == "JPEG" else {"lossless": True} if kind == "WEBP" else {}
        Image.fromarray(pixels).save(path, kind, exif=exif, **more)
        upright = tmp_path / f"{turned}.upright.png"
        with Image.open(path) as image:
            shown = ImageOps.exif_transpose(image)
        assert shown.size == ((64, 96) if turned > 4 else (96, 64))
        shown.getexif().clear()
        Image.fromarray(np.asarray(shown)).save(upright)
        for rows in (None, draws):
            one, other = (seen(p, 24, draws=rows).astype(int) for p in (path, upright))
            assert np.abs(one - other).max() <= 2, (turned, rows is None)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_a_damaged_exif_leaves_the_image_as_it_lies(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    Image.new("RGB", (32, 16)).save(path, exif=b"Exif\0\0MM\0*\0\0\xff\xff\xff\xff")
    assert why(path) == ""
    assert seen(path, 8).shape == (8, 8, 3)


def test_no_decoder_is_tried_but_those_of_pictures(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nquit\n")
    assert why(tmp_path / "a.png") == "it is no image"


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF", "JPEG2000", "AVIF"])
def test_a_look_at_header_and_end_finds_what_was_cut_off(tmp_path: Path, kind: str) -> None:
    rng = np.random.default_rng(1)
    try:
        data = saved(rng.integers(0, 256, (64, 64, 3)).astype(np.uint8), kind)
    except OSError:
        pytest.skip(f"Pillow has no {kind} here")
    path = tmp_path / "a.jpg"
    for share, told in ((1.0, False), (0.6, True), (0.02, True), (0.0, True)):
        path.write_bytes(data[: int(share * len(data))])
        assert bool(why(path)) is told, share
    path.write_bytes(data + b"a camera's own notes")  # more than an image is one
    assert why(path) == ""


def test_a_look_decodes_no_whole_jpeg(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(saved(Image.new("RGB", (64, 64)), "JPEG"))

    def load(image: Any) -> None:
        raise AssertionError("decoded")

    monkeypatch.setattr(Image.Image, "load", load)
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", load)
    assert why(path) == ""


def test_a_bomb_is_refused_by_its_header(tmp_path: Path) -> None:
    image = bytearray(png16(2, []))
    image[16:24] = struct.pack(">II", 50_000, 50_000)
    image[29:33] = struct.pack(">I", zlib.crc32(bytes(image[12:29])))
    (tmp_path / "a.png").write_bytes(bytes(image))
    assert "decompression bomb" in why(tmp_path / "a.png")
