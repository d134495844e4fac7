import io
import os

import numpy as np
import pytest
from PIL import Image

from tf_metamixup.core.errors import UserError
from tf_metamixup.data import image_files

RED, WHITE = [255, 0, 0], [255, 255, 255]


def saved(path, image, **options):
    image.save(path, **options)
    return path


def test_resize_keeps_a_plain_image_plain():
    plain = np.full((2, 6, 9, 1), 77, np.uint8)
    resized = image_files.resize(plain, (4, 3)).numpy()
    assert resized.dtype == np.uint8
    np.testing.assert_array_equal(resized, np.full((2, 4, 3, 1), 77))


def test_an_image_is_converted_to_grey_or_colour_and_resized(tmp_path):
    path = saved(tmp_path / "red.png", Image.new("RGB", (5, 6), (255, 0, 0)))
    assert image_files.read(path, (6, 5, 3)).tolist() == [[RED] * 5] * 6
    assert image_files.read(path, (2, 3, 1)).tolist() == [[[76]] * 3] * 2  # 0.299 * 255
    assert image_files.header(path) == ((6, 5), 3)


def test_an_image_is_smoothed_before_it_is_made_smaller(tmp_path):
    board = Image.fromarray(np.indices((8, 8)).sum(0).astype(np.uint8) % 2 * 255)
    path = saved(tmp_path / "board.png", board)
    np.testing.assert_allclose(image_files.read(path, (4, 4, 1)), 127.5, atol=3)


@pytest.mark.parametrize("turned", [False, True])
def test_a_large_photo_is_read_as_if_all_of_it_were_decoded(tmp_path, turned):
    y, x = np.mgrid[:640, :800]
    channels = 128 + 100 * np.sin(x / 12), 128 + 100 * np.cos(y / 70), (x + y) / 6
    photo = np.stack(channels, -1).astype(np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6 if turned else 1
    stored = Image.fromarray(np.rot90(photo) if turned else photo)
    path = saved(tmp_path / "photo.jpg", stored, exif=exif, quality=95)
    for size in ((32, 40), (160, 200)):
        expected = image_files.resize(photo, size).numpy()
        found = image_files.read(path, (*size, 3))
        np.testing.assert_allclose(found.astype(int), expected.astype(int), atol=4)


@pytest.mark.parametrize("suffix", image_files.SUFFIXES)
def test_every_kind_of_file_is_read(tmp_path, suffix):
    path = saved(tmp_path / f"red{suffix}", Image.new("RGB", (5, 6), (255, 0, 0)))
    assert image_files.header(path) == ((6, 5), 3)
    pixels = image_files.read(path, (6, 5, 3)).astype(int)
    assert np.abs(pixels - RED).max() < 3


def test_of_an_animation_the_first_frame_is_read(tmp_path):
    frames = [Image.new("RGB", (5, 6), color) for color in ("red", "blue")]
    path = saved(tmp_path / "a.gif", frames[0], append_images=frames[1:], save_all=True)
    assert image_files.read(path, (6, 5, 3)).tolist() == [[RED] * 5] * 6


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif"])
def test_exif_orientation_is_obeyed(tmp_path, suffix, orientation):
    # Bright above, and brightest on the left: what a camera held upright would have saved.
    upright = np.zeros((16, 32), np.uint8)
    upright[:8, :16], upright[:8, 16:] = 250, 120
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.T,
        6: np.rot90(upright),
        7: upright[::-1, ::-1].T,
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = saved(tmp_path / f"a.{suffix}", Image.fromarray(stored), exif=exif)
    assert image_files.header(path)[0] == (16, 32)
    pixels = image_files.read(path, (16, 32, 1))[..., 0].astype(int)
    np.testing.assert_allclose(pixels[4::8, 8::16], upright[4::8, 8::16], atol=8)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF|Truncated File")
def test_damaged_exif_leaves_the_image_as_it_is(tmp_path):
    path = saved(tmp_path / "a.jpg", Image.new("L", (4, 2), 50), exif=b"Exif\0\0MM\0*\0\0\0\x99")
    assert image_files.header(path) == ((2, 4), 1)
    assert image_files.read(path, (2, 4, 1)).shape == (2, 4, 1)


def transparent():
    """Half of each of these images is transparent black, and half opaque red or grey."""
    rgba = Image.new("RGBA", (2, 1), (255, 0, 0, 255))
    rgba.putpixel((1, 0), (0, 0, 0, 0))
    palette = Image.new("P", (2, 1))
    palette.putpalette([255, 0, 0, 0, 0, 0])
    palette.putpixel((1, 0), 1)
    rgb = Image.new("RGB", (2, 1), (255, 0, 0))
    rgb.putpixel((1, 0), (0, 0, 0))
    yield "RGBA", rgba, {}, RED
    yield "P", palette, {"transparency": 1}, RED
    yield "P with alpha", palette, {"transparency": bytes([255, 0])}, RED
    yield "RGB", rgb, {"transparency": (0, 0, 0)}, RED
    yield "LA", rgba.convert("LA"), {}, [76] * 3
    grey = rgb.convert("L")
    yield "L", grey, {"transparency": 0}, [76] * 3
    deep = Image.fromarray(np.array([[76 * 257, 9]], np.uint16))
    yield "I;16", deep, {"transparency": 9}, [76] * 3


@pytest.mark.parametrize(("image", "options", "color"), [t[1:] for t in transparent()])
def test_transparent_pixels_are_white(tmp_path, image, options, color):
    path = saved(tmp_path / "a.png", image, **options)
    assert image_files.read(path, (1, 2, 3)).tolist() == [[color, WHITE]]
    if image.mode == "P":
        saved(tmp_path / "a.gif", image, transparency=1)
        assert image_files.read(tmp_path / "a.gif", (1, 2, 3)).tolist() == [[color, WHITE]]


def test_half_transparent_red_is_half_white(tmp_path):
    path = saved(tmp_path / "a.png", Image.new("RGBA", (1, 1), (255, 0, 0, 127)))
    assert image_files.read(path, (1, 1, 3)).tolist() == [[[255, 128, 128]]]
    assert image_files.header(path) == ((1, 1), 3)


@pytest.mark.parametrize(
    ("values", "dtype", "suffix"),
    [
        ([0, 257 * 100, 40_000, 65_535], np.uint16, "png"),
        ([0, 257 * 100, 40_000, 65_535], np.uint16, "tif"),
        ([0, 257 * 100, 40_000, 65_535], ">u2", "tif"),
        ([0, 257 * 100, 40_000, 65_535], np.int32, "tif"),
        ([0, 100 / 255, 40_000 / 65_535, 1], np.float32, "tif"),
    ],
)
def test_deep_grey_is_scaled_to_8_bits(tmp_path, values, dtype, suffix):
    path = saved(tmp_path / f"deep.{suffix}", Image.fromarray(np.array([values], dtype)))
    assert image_files.header(path) == ((1, 4), 1)
    assert image_files.read(path, (1, 4, 1)).flatten().tolist() == [0, 100, 156, 255]
    assert image_files.read(path, (1, 4, 3))[..., 2].flatten().tolist() == [0, 100, 156, 255]


@pytest.mark.parametrize(
    "values",
    [
        np.array([[0, 200.0]], np.float32),
        np.array([[-1, 1.0]], np.float32),
        np.array([[0, 70_000]], np.int32),
    ],
)
def test_numbers_that_may_mean_anything_are_refused(tmp_path, values):
    path = saved(tmp_path / "deep.tif", Image.fromarray(values))
    with pytest.raises(image_files.UnreadableError, match=r"its values range from .*8 bits"):
        image_files.read(path, (1, 2, 1))


def test_numbers_that_are_none_are_refused(tmp_path):
    path = saved(tmp_path / "deep.tif", Image.fromarray(np.array([[0, np.nan]], np.float32)))
    with pytest.raises(image_files.UnreadableError, match="a pixel is NaN or infinite"):
        image_files.read(path, (1, 2, 1))


def test_one_bit_and_cmyk_are_read(tmp_path):
    bits = Image.new("1", (2, 1))
    bits.putpixel((1, 0), 1)
    assert image_files.header(saved(tmp_path / "bits.png", bits)) == ((1, 2), 1)
    assert image_files.read(tmp_path / "bits.png", (1, 2, 1)).flatten().tolist() == [0, 255]
    for suffix in ("tif", "jpg"):
        path = saved(tmp_path / f"ink.{suffix}", Image.new("CMYK", (8, 8), (0, 255, 255, 0)))
        assert image_files.header(path) == ((8, 8), 3)
        assert np.abs(image_files.read(path, (8, 8, 3)).astype(int) - RED).max() < 3


def test_what_is_no_image_is_reported_by_its_path(tmp_path):
    path = tmp_path / "text.png"
    path.write_text("not an image")
    for read in (image_files.header, lambda path: image_files.read(path, (4, 4, 1))):
        reported = f"cannot read the image {path}: it is not an image"
        with pytest.raises(image_files.UnreadableError, match=reported):
            read(path)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF|Truncated File")
def test_a_file_cut_off_anywhere_is_unreadable_or_read(tmp_path):
    for suffix in image_files.SUFFIXES:
        whole = io.BytesIO()
        Image.effect_noise((9, 9), 90).convert("RGB").save(
            whole, Image.registered_extensions()[suffix]
        )
        path = tmp_path / f"cut{suffix}"
        for end in range(0, len(whole.getvalue()), 7):
            path.write_bytes(whole.getvalue()[:end])
            try:
                assert image_files.read(path, (9, 9, 3)).shape == (9, 9, 3)
            except image_files.UnreadableError as error:
                assert str(path) in str(error)


@pytest.fixture
def tree(tmp_path):
    for name in ("b.png", "a/c.WEBP", "a/d.txt", ".hidden.png", "__MACOSX/e.png", "._b.png"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"")
    return tmp_path


def test_images_are_found_below_and_what_is_left_out_is_counted(tree):
    images, left_out = image_files.find(tree)
    assert [str(path.relative_to(tree)) for path in images] == ["a/c.WEBP", "b.png"]
    assert image_files.describe_left_out(left_out) == (
        f"left out 4 items: 3 hidden ({tree}/._b.png, ...), 1 .txt ({tree}/a/d.txt)"
    )


def test_links_are_followed_and_circles_end(tree, tmp_path_factory):
    other = tmp_path_factory.mktemp("other")
    (other / "f.png").write_bytes(b"")
    (tree / "file.png").symlink_to(other / "f.png")
    (tree / "folder").symlink_to(other)
    (other / "back").symlink_to(tree)
    (tree / "self").symlink_to("self")
    images, left_out = image_files.find(tree)
    assert [path.relative_to(tree).as_posix() for path in images] == [
        *("a/c.WEBP", "b.png", "file.png", "folder/f.png")
    ]
    assert ("linked to twice", tree / "folder" / "back") in left_out


def test_a_pipe_is_no_image_to_wait_for(tree):
    os.mkfifo(tree / "pipe.png")
    images, left_out = image_files.find(tree)
    assert tree / "pipe.png" not in images
    assert ("not a regular file", tree / "pipe.png") in left_out


def test_a_folder_that_is_not_there_is_reported(tmp_path):
    with pytest.raises(UserError, match=f"cannot list {tmp_path}/none: No such file"):
        image_files.find(tmp_path / "none")


@pytest.mark.parametrize("most", [200, 4095])
def test_16_bit_images_that_use_few_levels_are_warned_of(tmp_path, most):
    path = tmp_path / "12_bits.png"
    Image.fromarray(np.linspace(0, most, 25).astype(np.uint16).reshape(5, 5)).save(path)
    with pytest.warns(UserWarning, match="few of the 256 grey levels"):
        image_files.decode(path.read_bytes(), path, (5, 5, 1))
