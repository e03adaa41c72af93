"""Makes the pictures in `seeds/picture`: one of each form that is read, a few hundred bytes each.

    python3 -m venv .venv && .venv/bin/pip install pillow==13.0.0
    .venv/bin/python pictures.py
"""

import io
import struct
import zlib
from pathlib import Path

from PIL import Image, ImageCms

HERE = Path(__file__).parent / "seeds" / "picture"
# Neither side is a multiple of a block.
SIZE = (23, 17)


def picture(mode="RGB"):
    """Colours that differ from pixel to pixel."""
    image = Image.new("RGB", SIZE)
    image.putdata([(x * 11, y * 15, (x // 5 + y // 4) % 2 * 200) for y in range(SIZE[1]) for x in range(SIZE[0])])
    return image.convert(mode)


def encoded(image, form, **options):
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def segments(jpeg):
    """Marker and content of each segment before the scan of a JPEG of one scan, and what is after the scan's header."""
    at, found = 2, {}
    while True:
        marker, length = jpeg[at + 1], int.from_bytes(jpeg[at + 2 : at + 4], "big")
        found.setdefault(marker, []).append(jpeg[at + 4 : at + 2 + length])
        at += 2 + length
        if marker == 0xDA:
            return found, jpeg[at:-2]


def segment(marker, content):
    return bytes([0xFF, marker]) + (len(content) + 2).to_bytes(2, "big") + content


def scans_apart():
    """A JPEG of three components with a scan for each: those of three grey ones with the same tables."""
    parts = [segments(encoded(plane, "JPEG", quality=40)) for plane in picture("YCbCr").split()]
    found, _ = parts[0]
    frame = found[0xC0][0][:5] + bytes([3, 1, 0x11, 0, 2, 0x11, 0, 3, 0x11, 0])
    file = b"\xff\xd8" + b"".join(segment(0xDB, table) for table in found[0xDB]) + segment(0xC0, frame)
    file += b"".join(segment(0xC4, table) for table in found[0xC4])
    for number, (_, scan) in enumerate(parts, 1):
        file += segment(0xDA, bytes([1, number, 0, 0, 63, 0])) + scan
    return file + b"\xff\xd9"


def sixteen_bits():
    """A PNG of 16 bits a channel, which Pillow does not write."""
    rows = b"".join(
        b"\0" + b"".join(struct.pack(">HHH", x * 2800, y * 3800, x * y * 180) for x in range(SIZE[0]))
        for y in range(SIZE[1])
    )
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", *SIZE, 16, 2, 0, 0, 0)), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
        for name, content in chunks
    )


def main():
    HERE.mkdir(parents=True, exist_ok=True)
    turned = Image.Exif()
    turned[0x0112] = 6
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    # When it was made.
    profile[24:36] = bytes(12)
    profile = bytes(profile)
    frames = {"save_all": True, "append_images": [picture().rotate(180)], "duration": 100}
    made = {
        "baseline.jpg": encoded(picture(), "JPEG", quality=40),
        "progressive.jpg": encoded(picture(), "JPEG", quality=40, progressive=True),
        "grey.jpg": encoded(picture("L"), "JPEG", quality=40),
        "cmyk.jpg": encoded(picture("CMYK"), "JPEG", quality=40),
        "restarts.jpg": encoded(picture(), "JPEG", quality=40, subsampling=0, restart_marker_blocks=2),
        "turned.jpg": encoded(picture(), "JPEG", quality=20, exif=turned, icc_profile=profile),
        "apart.jpg": scans_apart(),
        "colour.png": encoded(picture(), "PNG", exif=turned, icc_profile=profile),
        "palette.png": encoded(picture("P"), "PNG", bits=4, transparency=1),
        "bits.png": encoded(picture("1"), "PNG"),
        "alpha.png": encoded(picture("LA"), "PNG"),
        "deep.png": sixteen_bits(),
        "lossy.webp": encoded(picture(), "WEBP", quality=40),
        "lossless.webp": encoded(picture(), "WEBP", lossless=True, exif=turned),
        "alpha.webp": encoded(picture("RGBA"), "WEBP", quality=40),
        "animated.webp": encoded(picture(), "WEBP", quality=40, **frames),
    }
    for name, file in made.items():
        (HERE / name).write_bytes(file)


if __name__ == "__main__":
    main()
