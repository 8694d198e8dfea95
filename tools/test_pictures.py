#!/usr/bin/env python3
"""Writes the pictures that `tests/preprocess.rs` reads, and beside each the RGB pixels that are right (NAME.want.png).

    python3 tools/test_pictures.py tests/data/pictures tests/data/bad-pictures

Needs Pillow 13 and NumPy. What is right is what Pillow reads, after `convert("RGB")`; alpha is composited on white, and 16 bits are
rounded to 8 (Pillow saturates greys of 16 bits and cuts off the low byte of colours). Pictures that Pillow does not write are written
here byte by byte."""

import io
import struct
import sys
import zlib

import numpy as np
from PIL import Image, ImageOps

WIDTH, HEIGHT = 21, 9
SIZE = f"{WIDTH} {HEIGHT}".encode()
rng = np.random.default_rng(7)
RGB = rng.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
ALPHA = rng.integers(0, 256, (HEIGHT, WIDTH, 1), dtype=np.uint8)
ALPHA[0], ALPHA[1] = 0, 255
RGBA = np.concatenate([RGB, ALPHA], axis=2)
GREY = RGB[..., 0]
DEEP = rng.integers(0, 65536, (HEIGHT, WIDTH, 4), dtype=np.uint16)
# Smooth, so that decoders of JPEG agree.
y, x = np.mgrid[0:40, 0:56]
SMOOTH = np.stack([x * 4, y * 6, 255 - x * 2 - y * 3], axis=2).clip(0, 255).astype(np.uint8)


def over_white(rgba, top=255):
    """Composited on white, rounded once; `top` is the largest sample."""
    rgba = rgba.astype(np.int64)
    colour, alpha = rgba[..., :-1], rgba[..., -1:]
    total = colour * alpha * 255 + 255 * top * (top - alpha)
    return ((total + top * top // 2) // (top * top)).astype(np.uint8)


def to_8(samples, top=65535):
    return ((samples.astype(np.int64) * 255 + top // 2) // top).astype(np.uint8)


def three(grey):
    return np.repeat(grey[..., None], 3, axis=2) if grey.ndim == 2 else np.repeat(grey, 3, axis=2)


def pillow(data):
    """What Pillow reads, upright and composited on white."""
    image = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    if "transparency" in image.info or image.mode in ("RGBA", "LA", "PA", "La", "RGBa"):
        return over_white(np.asarray(image.convert("RGBA")))
    return np.asarray(image.convert("RGB"))


def saved(image, kind, **options):
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def tiff(fields, data, order="<", big=False):
    """A TIFF of one strip (or of what `fields` says), fields as number: (type, values)."""
    head = 16 if big else 8
    fields = dict(fields)
    fields.setdefault(273, (4, [head]))
    fields.setdefault(279, (4, [len(data)]))
    sizes = {1: ("B", 1), 3: ("H", 2), 4: ("I", 4), 7: ("B", 1), 16: ("Q", 8)}
    at = head + len(data) + len(data) % 2
    count_format, offset_format, inline = ("Q", "Q", 8) if big else ("H", "I", 4)
    entries, more = b"", b""
    values_at = at + struct.calcsize(order + count_format) + len(fields) * (20 if big else 12) + inline
    for number, (kind, values) in sorted(fields.items()):
        letter, _ = sizes[kind]
        packed = struct.pack(f"{order}{len(values)}{letter}", *values)
        place = packed.ljust(inline, b"\0")
        if len(packed) > inline:
            place = struct.pack(order + offset_format, values_at + len(more))
            more += packed
        entries += struct.pack(f"{order}HH{offset_format}", number, kind, len(values)) + place
    start = (b"II" if order == "<" else b"MM") + (
        struct.pack(order + "HHHQ", 43, 8, 0, at) if big else struct.pack(order + "HI", 42, at)
    )
    directory = struct.pack(order + count_format, len(fields)) + entries + struct.pack(order + offset_format, 0)
    return start + data + b"\0" * (len(data) % 2) + directory + more


def plain_tiff(meaning, bits, samples, data, order="<", size=None, big=False, **more):
    width, height = size or (WIDTH, HEIGHT)
    fields = {
        256: (3, [width]), 257: (3, [height]), 258: (3, [bits] * samples), 259: (3, [1]), 262: (3, [meaning]),
        277: (3, [samples]), 278: (3, [height]),
    }
    fields.update({int(number): value for number, value in more.get("fields", {}).items()})
    return tiff(fields, data, order, big)


def bmp(width, height, bits, compression, data, masks=b"", palette=b"", header=40):
    info = struct.pack("<IiiHHIIiiII", header, width, height, 1, bits, compression, len(data), 0, 0, 0, 0)
    info += masks.ljust(header - 40, b"\0") if header > 40 else masks
    start = 14 + len(info) + len(palette)
    return b"BM" + struct.pack("<IHHI", start + len(data), 0, 0, start) + info + palette + data


def rows(data, width):
    """Rows padded to four bytes, the lowest first."""
    return b"".join(row.tobytes().ljust(-(-row.nbytes // 4) * 4, b"\0") for row in data[::-1])


def chunk(name, data, wrong=False):
    check = zlib.crc32(name + data) ^ (0xFF if wrong else 0)
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", check)


def png(more=b"", end=True, wrong_data=False):
    packed = zlib.compress(b"".join(b"\0" + row.tobytes() for row in RGB))
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", WIDTH, HEIGHT, 8, 2, 0, 0, 0))
    out = b"\x89PNG\r\n\x1a\n" + head + more + chunk(b"IDAT", packed, wrong_data)
    return out + (chunk(b"IEND", b"") if end else b"")


def segments(jpeg):
    """Marker and whole segment of each, up to the scan."""
    at = 2
    while True:
        marker, length = jpeg[at + 1], struct.unpack(">H", jpeg[at + 2 : at + 4])[0]
        yield marker, jpeg[at : at + 2 + length]
        at += 2 + length
        if marker == 0xDA:
            yield None, jpeg[at:]
            return


def without_tables(jpeg):
    return jpeg[:2] + b"".join(part for marker, part in segments(jpeg) if marker != 0xC4)


def gif(frames, screen, palette, more=b""):
    """Frames as (left, top, indices, flags, transparent)."""
    bits = max(1, (len(palette) - 1).bit_length())
    table = b"".join(bytes(colour) for colour in palette).ljust(3 << bits, b"\0")
    out = b"GIF89a" + struct.pack("<HHBBB", *screen, 0x80 | bits - 1, 0, 0) + table
    for left, top, indices, interlaced, transparent in frames:
        if transparent is not None:
            out += b"!\xf9\x04\x01\0\0" + bytes([transparent]) + b"\0"
        height, width = indices.shape
        out += b"," + struct.pack("<HHHHB", left, top, width, height, 0x40 if interlaced else 0)
        order = range(height)
        if interlaced:
            order = [row for first, step in ((0, 8), (4, 8), (2, 4), (1, 2)) for row in range(first, height, step)]
        # Codes of nine bits, the table cleared before it grows.
        codes = []
        for number, index in enumerate(indices[list(order)].ravel()):
            codes += [256] if number % 200 == 0 else []
            codes.append(int(index))
        codes.append(257)
        value = sum(code << 9 * number for number, code in enumerate(codes))
        data = value.to_bytes(-(-9 * len(codes) // 8), "little")
        out += b"\x08" + b"".join(bytes([len(data[i : i + 255])]) + data[i : i + 255] for i in range(0, len(data), 255)) + b"\0"
    return out + more + b";"


def webp_animation():
    frames = [Image.fromarray(RGBA), Image.fromarray(RGBA[::-1].copy())]
    return saved(frames[0], "WEBP", save_all=True, append_images=frames[1:], lossless=True, exact=True)


def pictures():
    """Name, bytes, and the right pixels (None: what Pillow reads)."""
    rgb, grey = Image.fromarray(RGB), Image.fromarray(GREY)
    bits = Image.fromarray(GREY > 127)
    indexed = rgb.quantize(13)
    yield "rgb.bmp", saved(rgb, "BMP"), None
    yield "grey.bmp", saved(grey, "BMP"), None
    yield "bits.bmp", saved(bits, "BMP"), None
    yield "palette.bmp", saved(indexed, "BMP"), None
    yield "core.bmp", b"BM" + struct.pack("<IHHI", 0, 0, 0, 26) + struct.pack("<IHHHH", 12, WIDTH, HEIGHT, 1, 24) + rows(RGB[..., ::-1], WIDTH), None
    yield "top-down.bmp", bmp(WIDTH, -HEIGHT, 32, 0, np.dstack([RGB[..., ::-1], ALPHA]).tobytes()), None
    words = DEEP[..., 0]
    yield "555.bmp", bmp(WIDTH, HEIGHT, 16, 0, rows(words, WIDTH)), None
    yield "565.bmp", bmp(WIDTH, HEIGHT, 16, 3, rows(words, WIDTH), struct.pack("<III", 0xF800, 0x7E0, 0x1F)), None
    masks = struct.pack("<IIII", 0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    yield "alpha.bmp", bmp(WIDTH, HEIGHT, 32, 3, rows(np.dstack([RGB[..., ::-1], ALPHA]), WIDTH), masks, header=56), None
    colours = b"".join(bytes(colour[::-1]) + b"\0" for colour in RGB.reshape(-1, 3)[:256])
    rle8 = bytes([3, 7, 0, 5, 1, 2, 3, 4, 5, 0, 2, 9, 0, 0, 0, 2, 4, 1, 4, 100, 0, 1])
    yield "rle8.bmp", bmp(10, 3, 8, 1, rle8, palette=colours.ljust(1024, b"\0")), "rle8"
    rle4 = bytes([5, 0x12, 0, 3, 0x34, 0x50, 0, 0, 8, 0x67, 0, 0, 8, 0xAB, 0, 1])
    yield "rle4.bmp", bmp(8, 3, 4, 2, rle4, palette=colours[:64]), None

    yield "lzw.tif", saved(rgb, "TIFF", compression="tiff_lzw"), None
    yield "deflate.tif", saved(rgb, "TIFF", compression="tiff_adobe_deflate", tiffinfo={317: 2}), None
    yield "packbits.tif", saved(grey, "TIFF", compression="packbits"), None
    yield "bits.tif", saved(bits, "TIFF"), None
    yield "palette.tif", saved(indexed, "TIFF", compression="tiff_lzw"), None
    yield "cmyk.tif", saved(Image.fromarray(RGBA, "CMYK"), "TIFF"), None
    yield "alpha.tif", saved(Image.fromarray(RGBA), "TIFF", compression="tiff_lzw"), None
    yield "grey-alpha.tif", saved(Image.fromarray(RGBA[..., 2:], "LA"), "TIFF"), None
    yield "pages.tif", saved(rgb, "TIFF", save_all=True, append_images=[grey]), None
    yield "turned.tif", saved(rgb, "TIFF", tiffinfo={274: 6}), None
    yield "jpeg.tif", saved(Image.fromarray(SMOOTH), "TIFF", compression="jpeg", quality=95), None
    yield "grey-jpeg.tif", saved(Image.fromarray(SMOOTH[..., 1]), "TIFF", compression="jpeg", quality=95), None
    yield "white-is-zero.tif", plain_tiff(0, 8, 1, GREY.tobytes()), None
    nibbles = GREY[:, :20] >> 4
    yield "four-bits.tif", plain_tiff(1, 4, 1, (nibbles[:, ::2] << 4 | nibbles[:, 1::2]).tobytes(), size=(20, HEIGHT)), None
    yield "multiplied.tif", plain_tiff(2, 8, 4, np.dstack([RGB.astype(int) * ALPHA // 255, ALPHA]).astype(np.uint8).tobytes(), fields={338: (3, [1])}), None
    yield "unused-sample.tif", plain_tiff(2, 8, 4, RGBA.tobytes(), fields={338: (3, [0])}), None
    yield "big-endian.tif", plain_tiff(2, 8, 3, RGB.tobytes(), order=">"), None
    yield "big.tif", plain_tiff(2, 8, 3, RGB.tobytes(), big=True), None
    yield "low-bit-first.tif", plain_tiff(1, 1, 1, np.packbits(GREY > 99, axis=1, bitorder="little").tobytes(), fields={266: (3, [2])}), None
    yield "planes.tif", plain_tiff(2, 8, 3, RGB.transpose(2, 0, 1).tobytes(), fields={
        284: (3, [2]), 273: (4, [8 + plane * GREY.size for plane in range(3)]), 279: (4, [GREY.size] * 3)}), None
    tiles, size = [], 16
    for top in range(0, HEIGHT, size):
        for left in range(0, WIDTH, size):
            tile = np.zeros((size, size, 3), np.uint8)
            part = RGB[top : top + size, left : left + size]
            tile[: part.shape[0], : part.shape[1]] = part
            tiles.append(zlib.compress(tile.tobytes()))
    starts = np.cumsum([8] + [len(tile) for tile in tiles])[:-1].tolist()
    tiled = {259: (3, [8]), 322: (3, [size]), 323: (3, [size]), 324: (4, starts), 325: (4, [len(tile) for tile in tiles])}
    yield "tiles.tif", plain_tiff(2, 8, 3, b"".join(tiles), fields=tiled), None
    yield "grey16.tif", plain_tiff(1, 16, 1, DEEP[..., 0].tobytes()), three(to_8(DEEP[..., 0]))
    yield "rgb16.tif", plain_tiff(2, 16, 3, DEEP[..., :3].astype(">u2").tobytes(), order=">"), to_8(DEEP[..., :3])
    differences = DEEP[..., :3].copy()
    differences[:, 1:] -= DEEP[:, :-1, :3]
    yield "rgb16-differences.tif", plain_tiff(2, 16, 3, zlib.compress(differences.tobytes()), fields={259: (3, [8]), 317: (3, [2])}), to_8(DEEP[..., :3])
    yield "rgba16.tif", plain_tiff(2, 16, 4, DEEP.tobytes(), fields={338: (3, [2])}), over_white(DEEP, 65535)

    yield "text.pbm", b"P1\n# bits\n5 3\n1 0 1 0 1\n01010\n1 1 1 0 0\n", None
    yield "bits.pbm", saved(bits, "PPM"), None
    yield "text.pgm", b"P2 3 2 # greys\n100\n0 50 100\n1 99 33\n", None
    yield "grey.pgm", saved(grey, "PPM"), None
    yield "text.ppm", b"P3\n2 2\n15\n0 7 15  1 2 3\n4 5 6  15 15 15\n", None
    yield "rgb.ppm", saved(rgb, "PPM"), None
    yield "max200.ppm", b"P6 " + SIZE + b" 200\n" + (RGB.astype(int) * 200 // 255).astype(np.uint8).tobytes(), None
    yield "grey16.pgm", b"P5 " + SIZE + b" 65535\n" + DEEP[..., 0].astype(">u2").tobytes(), three(to_8(DEEP[..., 0]))
    yield "max1000.pgm", b"P5 " + SIZE + b" 1000\n" + (DEEP[..., 0] % 1001).astype(">u2").tobytes(), three(
        np.round((DEEP[..., 0] % 1001) / 1000 * 255).astype(np.uint8))
    yield "rgb16.ppm", b"P6 " + SIZE + b" 65535\n" + DEEP[..., :3].astype(">u2").tobytes(), to_8(DEEP[..., :3])
    yield "alpha.pam", b"P7\nWIDTH 21\nHEIGHT 9\nDEPTH 4\nMAXVAL 255\nTUPLTYPE RGB_ALPHA\nENDHDR\n" + RGBA.tobytes(), over_white(RGBA)

    yield "rgb.qoi", saved(Image.fromarray(np.concatenate([RGB[:4], np.repeat(RGB[4:5], 9, 0), RGB[:, :]])), "QOI"), None
    flat = RGBA.copy()
    flat[3:6] = flat[2, 2]
    flat[7:9, 1::2, :3] = flat[7:9, :-1:2, :3] + 1
    yield "alpha.qoi", saved(Image.fromarray(flat), "QOI"), None

    yield "rgb.tga", saved(rgb, "TGA"), None
    yield "runs.tga", saved(Image.fromarray(flat), "TGA", compression="tga_rle"), None
    yield "palette.tga", saved(indexed, "TGA"), None
    yield "grey.tga", saved(grey, "TGA", orientation=1), None
    word = struct.pack("<BBBHHBHHHHBB", 0, 0, 2, 0, 0, 0, 0, 0, WIDTH, HEIGHT, 16, 0x30) + (DEEP[..., 0] & 0x7FFF).tobytes()
    yield "word.tga", word, None

    palette = [tuple(int(level) for level in colour) for colour in RGB.reshape(-1, 3)[:256]]
    indices = GREY.copy()
    yield "plain.gif", saved(indexed, "GIF"), None
    yield "grey.gif", saved(grey, "GIF"), None
    yield "rows-in-passes.gif", gif([(0, 0, indices, True, None)], (WIDTH, HEIGHT), palette), None
    yield "transparent.gif", gif([(0, 0, indices % 8, False, 3)], (WIDTH, HEIGHT), palette), None
    yield "small-frame.gif", gif([(2, 1, indices[:5, :6], False, None)], (WIDTH, HEIGHT), palette), None
    yield "small-transparent-frame.gif", gif([(2, 1, indices[:5, :6], False, 5)], (WIDTH, HEIGHT), palette), None
    yield "moving.gif", gif([(0, 0, indices, False, None), (0, 0, indices[::-1], False, None)], (WIDTH, HEIGHT), palette), None
    yield "frame-over-the-edge.gif", gif([(1, 0, indices, False, None)], (9, 9), palette), None
    yield "no-end.gif", gif([(0, 0, indices, False, None)], (WIDTH, HEIGHT), palette)[:-2], None
    yield "moving.webp", webp_animation(), over_white(RGBA)

    moving = saved(rgb, "PNG", save_all=True, append_images=[Image.fromarray(RGB[::-1].copy())])
    yield "moving.png", moving, None
    yield "no-iend.png", png(end=False), RGB
    yield "half-iend.png", png()[:-6], RGB
    yield "trailer.png", png() + b"SEFT" * 9, RGB
    yield "wrong-text.png", png(chunk(b"tEXt", b"Comment\0hello", True)), RGB
    yield "wrong-sum.png", png(wrong_data=True), RGB
    exif = Image.Exif()
    exif[274] = 6
    for kind, options in (("WEBP", {"lossless": True}), ("PNG", {})):
        yield f"turned.{kind.lower()}", saved(rgb, kind, exif=exif, **options), None

    smooth = Image.fromarray(SMOOTH)
    for name, options in (
        ("plain", {"quality": 95, "subsampling": 0}),
        ("half", {"quality": 90, "subsampling": 2}),
        ("restarts", {"quality": 90, "restart_marker_blocks": 3}),
        ("progressive", {"quality": 90, "progressive": True}),
    ):
        jpeg = saved(smooth, "JPEG", **options)
        assert jpeg.endswith(b"\xff\xd9")
        right = pillow(jpeg)
        yield f"no-end-{name}.jpg", jpeg[:-2], right
        if name == "plain":
            yield "trailer.jpg", jpeg + b"SEFH" + bytes(range(256)), right
            yield "no-end-trailer.jpg", jpeg[:-2] + b"SEFH" + bytes(range(255)) + b"\xff\xc0\xff\xda", right
            yield "no-tables.jpg", without_tables(jpeg), right
            yield "stray-bytes.jpg", jpeg[:-2] + b"\0\0\0\xff\xd9", right
        if name == "progressive":
            yield "no-end-trailer-progressive.jpg", jpeg[:-2] + bytes(range(99)), right
            yield "restarts-progressive.jpg", saved(smooth, "JPEG", progressive=True, restart_marker_blocks=2, quality=95, subsampling=0), None
    yield "no-tables-grey.jpg", without_tables(saved(Image.fromarray(SMOOTH[..., 0]), "JPEG", quality=95)), None
    yield "no-end-grey.jpg", saved(Image.fromarray(SMOOTH[..., 0]), "JPEG")[:-2], pillow(saved(Image.fromarray(SMOOTH[..., 0]), "JPEG"))
    yield "no-end-cmyk.jpg", saved(smooth.convert("CMYK"), "JPEG", quality=95)[:-2], pillow(saved(smooth.convert("CMYK"), "JPEG", quality=95))


def bad():
    """Files that are refused."""
    smooth = Image.fromarray(SMOOTH)
    jpeg = saved(smooth, "JPEG", quality=90)
    progressive = saved(smooth, "JPEG", quality=90, progressive=True)
    yield "cut-scan-then-end.jpg", jpeg[:-60] + b"\xff\xd9"
    yield "cut-scan-then-trailer.jpg", jpeg[:-40] + b"\0\0" + bytes(64)
    last_scan = progressive.rindex(b"\xff\xda")
    yield "without-its-last-scan.jpg", progressive[:last_scan]
    yield "wrong-palette-sum.png", b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 3, 0, 0, 0)) + chunk(
        b"PLTE", b"\1\2\3", True) + chunk(b"IDAT", zlib.compress(b"\0\0")) + chunk(b"IEND", b"")
    broken = bytearray(png(wrong_data=True))
    broken[-30] ^= 0x55
    yield "wrong-data.png", bytes(broken)
    yield "huge.gif", b"GIF89a" + struct.pack("<HHBBB", 65535, 65535, 0, 0, 0) + b",\0\0\0\0\xff\xff\xff\xff\0\x08\x02\0\x01\0;"
    yield "huge.bmp", bmp(60000, 60000, 24, 0, bytes(64))
    yield "huge-runs.bmp", bmp(16000, 16000, 8, 1, bytes([0, 1]), palette=bytes(1024))
    yield "huge.tif", plain_tiff(2, 16, 4, bytes(64), size=(40000, 40000))
    yield "huge-strip.tif", plain_tiff(2, 8, 3, zlib.compress(bytes(64)), size=(16000, 16000), fields={259: (3, [8])})
    yield "huge.ppm", b"P6 30000 30000 255\n" + bytes(64)
    yield "huge.qoi", b"qoif" + struct.pack(">IIBB", 30000, 30000, 4, 0) + bytes(64)
    yield "huge.tga", struct.pack("<BBBHHBHHHHBB", 0, 0, 10, 0, 0, 0, 0, 0, 60000, 60000, 32, 8) + bytes(64)
    yield "cut.bmp", saved(smooth, "BMP")[:300]
    yield "cut.tif", plain_tiff(2, 8, 3, bytes(64), size=(9, 9))
    yield "cut.gif", gif([(0, 0, GREY, False, None)], (WIDTH, HEIGHT), [(1, 2, 3)] * 256)[:-90]
    yield "cut.ppm", b"P6 " + SIZE + b" 255\n" + RGB.tobytes()[:-1]
    yield "cut.qoi", saved(Image.fromarray(RGB), "QOI")[:-20]
    yield "cut.tga", struct.pack("<BBBHHBHHHHBB", 0, 0, 2, 0, 0, 0, 0, 0, 9, 9, 24, 0) + bytes(64)
    yield "floats.tif", plain_tiff(1, 32, 1, bytes(4 * WIDTH * HEIGHT), fields={339: (3, [3])})
    yield "fax.tif", plain_tiff(1, 1, 1, bytes(64), fields={259: (3, [4])})
    yield "raw.tif", plain_tiff(2, 8, 3, RGB.tobytes(), fields={50706: (1, [1, 4, 0, 0])})
    yield "photo.heic", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(32)
    yield "photo.avif", b"\0\0\0\x1cftypavif\0\0\0\0avifmif1miaf" + bytes(32)
    yield "photo.jp2", b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(32)


def main(good, wrong):
    for name, data, right in pictures():
        if isinstance(right, str):
            right = np.zeros((3, 10, 3), np.uint8)
            colours = RGB.reshape(-1, 3)[:256]
            # By hand, the lowest row first: a run, five as they are, two; a skip to column 4 of the row above that; a run.
            index = np.zeros((3, 10), int)
            index[0] = [7, 7, 7, 1, 2, 3, 4, 5, 9, 9]
            index[2, 4:8] = 100
            right = colours[index[::-1]]
        elif right is None:
            right = pillow(data)
        with open(f"{good}/{name}", "wb") as file:
            file.write(data)
        Image.fromarray(np.ascontiguousarray(right)).save(f"{good}/{name}.want.png", optimize=True)
    for name, data in bad():
        with open(f"{wrong}/{name}", "wb") as file:
            file.write(data)


main(*sys.argv[1:])
