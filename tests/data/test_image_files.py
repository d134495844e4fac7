import numpy as np
import pytest
from PIL import Image

from tf_metamixup.core.errors import UserError
from tf_metamixup.data import image_files


def test_resize_keeps_a_plain_image_plain():
    plain = np.full((2, 6, 9, 1), 77, np.uint8)
    resized = image_files.resize(plain, (4, 3)).numpy()
    assert resized.dtype == np.uint8
    np.testing.assert_array_equal(resized, np.full((2, 4, 3, 1), 77))


def test_an_image_is_converted_to_grey_or_colour_and_resized(tmp_path):
    path = tmp_path / "red.png"
    Image.new("RGBA", (5, 6), (255, 0, 0, 10)).save(path)
    assert image_files.read(path, (6, 5, 3)).tolist() == [[[255, 0, 0]] * 5] * 6
    assert image_files.read(path, (2, 3, 1)).tolist() == [[[76]] * 3] * 2  # 0.299 * 255
    assert image_files.header(path) == ((6, 5), "RGBA")


def test_what_is_no_image_is_told_by_its_path(tmp_path):
    path = tmp_path / "text.png"
    path.write_text("not an image")
    for read in (image_files.header, lambda path: image_files.read(path, (4, 4, 1))):
        with pytest.raises(image_files.UnreadableError, match=f"cannot read the image {path}"):
            read(path)


def test_more_than_8_bits_a_channel_are_refused(tmp_path):
    path = tmp_path / "deep.png"
    Image.fromarray(np.full((4, 4), 40_000, np.uint16)).save(path)
    for read in (image_files.header, lambda path: image_files.read(path, (4, 4, 1))):
        with pytest.raises(UserError, match="must be converted to 8 bits") as raised:
            read(path)
        assert not isinstance(raised.value, image_files.UnreadableError)
