"""Write docs/before-after.png: a picture as it was dropped, and as it comes out where the sandbox plays the service."""

import tempfile
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from watchfolder.sandbox.mark import write_with_mark
from watchfolder.sandbox.pictures import sample

TARGET = Path(__file__).with_name("before-after.png")
SIZE = (400, 300)
GAP, CAPTION = 60, 34
INK, PAPER = "#24292f", "#ffffff"


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        dropped, delivered = Path(folder, "dropped.jpg"), Path(folder, "delivered.jpg")
        dropped.write_bytes(sample("jpeg", width=SIZE[0] * 2, height=SIZE[1] * 2, seed=0))
        write_with_mark(dropped, delivered)
        canvas = Image.new("RGB", (2 * SIZE[0] + GAP, SIZE[1] + CAPTION), PAPER)
        draw = ImageDraw.Draw(canvas)
        font = ImageFont.load_default(17)
        for number, path in enumerate((dropped, delivered)):
            left = number * (SIZE[0] + GAP)
            canvas.paste(Image.open(path).convert("RGB").resize(SIZE, Image.Resampling.LANCZOS), (left, CAPTION))
            draw.text((left, 6), f"{('inbox', 'protected')[number]}/Harbour at dawn.jpg", INK, font)
        middle, height = SIZE[0] + GAP // 2, CAPTION + SIZE[1] // 2
        draw.polygon([(middle - 12, height - 14), (middle - 12, height + 14), (middle + 14, height)], INK)
        canvas.quantize(256, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).save(TARGET, optimize=True)


if __name__ == "__main__":
    main()
