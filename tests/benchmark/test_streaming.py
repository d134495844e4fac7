import pytest

from benchmark import streaming


@pytest.mark.parametrize("in_memory", ["yes", "no"])
def test_speed_and_memory_of_two_passes_are_measured(tmp_path, in_memory):
    sizes = streaming.Sizes(images=128, side=24, image_size=16)
    streaming.write(tmp_path, sizes)
    found = streaming.time_reading(str(tmp_path), sizes, in_memory)
    assert found["in_memory"] == in_memory and found["images"] == 128
    assert found["images_per_second"] > 0
    assert len(found["mib"]) == 5 and max(found["mib"]) <= found["peak_mib"]


def test_a_bad_flag_is_reported_in_one_message(capsys):
    assert streaming.main(["streaming", "--images=9"]) == 2
    assert capsys.readouterr().err.startswith("error: --images=9")
