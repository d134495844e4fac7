from tf_metamixup.runs.summary import summary

ERRORS = {"a": 1.0, "b": 30.0, "c": None, "d": 2.0, "e": 7.0}
RESULT = {
    "status": "finished",
    "steps": 9,
    "test_error": None,
    "val_error": 4.0,
    "class_errors": ERRORS,
    "evaluated_images": 100,
    "labels_used": 1234,
    "config": {},
}


def test_the_end_names_the_worst_classes_and_what_the_error_is_of():
    printed = summary(RESULT, "runs/my pets")
    assert printed.startswith("finished: 9 steps, validation error 4.00 % (last epoch)")
    assert "worst: b 30.00 %, e 7.00 %, d 2.00 %; mean of all 10.00 %" in printed
    assert "1.57 to 9.84 % (95 %, of 100 images)" in printed
    assert "labels used  1,234" in printed
    assert printed.endswith("python -m tf_metamixup.report 'runs/my pets'")


def test_it_says_how_to_predict_with_what_there_is(tmp_path):
    model = tmp_path / "saved_model"
    command = f"python -m tf_metamixup.predict {model} IMAGES"
    exporting = f"  predict      trainer.export('{model}'), then {command}"
    assert exporting in summary(RESULT, tmp_path).splitlines()
    # Of a command line that was asked to export nothing.
    assert "  predict  " not in summary(RESULT | {"config": {"export": False}}, tmp_path)
    assert "  predict  " not in summary(RESULT | {"status": "stopped"}, tmp_path)
    model.mkdir()
    assert exporting in summary(RESULT, tmp_path).splitlines()  # an empty folder is no model
    (model / "saved_model.pb").touch()
    assert f"  predict      {command}" in summary(RESULT, tmp_path).splitlines()


def test_a_run_without_an_error_is_not_sent_to_the_report(tmp_path):
    assert "  report  " in summary(RESULT, tmp_path)
    unknown = dict.fromkeys(["val_error", "class_errors", "evaluated_images"])
    assert "  report  " not in summary(RESULT | unknown, tmp_path)


def test_the_call_that_exports_is_the_callers(tmp_path):
    printed = summary(RESULT, tmp_path, export="trainer.export({!r}, from_pixels=FUNCTION)")
    assert (
        f"  predict      trainer.export('{tmp_path}/saved_model', from_pixels=FUNCTION)" in printed
    )
