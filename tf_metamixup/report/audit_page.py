"""The page of suspicious labels: one file of HTML with its images inside, without scripts."""

import base64
import html
import io
from typing import Any

import numpy as np
from PIL import Image

PER_CLASS = 12
LARGEST = 160  # side of an image, pixels
STYLE = """
:root { color-scheme: light dark; font: 15px/1.45 system-ui, sans-serif; }
body { margin: 2rem auto; max-width: 72rem; padding: 0 1rem; }
h2 { margin: 2rem 0 .5rem; font-size: 1.1rem; }
small, .how { opacity: .75; }
.images { display: flex; flex-wrap: wrap; gap: .75rem; }
figure { margin: 0; width: 8rem; }
img { width: 8rem; height: 8rem; object-fit: contain; background: #8883; }
img.tiny { image-rendering: pixelated; }
figcaption { overflow-wrap: anywhere; }
"""


def page(judged: Any, scores: dict[str, Any]) -> str:
    """Returns the page.

    Args:
        judged: an `audit.Judged`.
        scores: of it.
    """
    order, given = judged.order, judged.given
    sections = [
        _section(judged, k, order[given[order] == k][:PER_CLASS], np.sum(given == k))
        for k in range(len(judged.classes))
        if (given == k).any()
    ]
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width">
<title>Suspicious labels</title>
<style>{STYLE}</style>
</head>
<body>
<h1>Suspicious labels</h1>
<p>{how_many(scores)}. {_found(scores)}</p>
<p class="how">Judged {html.escape(judged.how)}.</p>
{"".join(sections)}
</body>
</html>
"""


def how_many(scores: dict[str, Any]) -> str:
    """Returns how many labels there are, and how many are suspicious where that can be said."""
    if "suspicious" not in scores:
        return f"{scores['labels']:,} labels, the most suspicious first"
    return f"{scores['suspicious']:,} of {scores['labels']:,} are more likely wrong than right"


def _found(scores: dict[str, Any]) -> str:
    if scores.get("auc") is None:
        return ""
    return (
        f"{scores['wrong']:,} are known to be wrong; they are found with an area under the ROC "
        f"curve of {scores['auc']:.3f}."
    )


def _section(judged: Any, label: int, positions: np.ndarray, count: int) -> str:
    note = f"{count:,} images"
    if judged.countable:
        note = f"{np.sum(judged.right[judged.given == label] < 0.5):,} of {count:,} suspicious"
    figures = "".join(_figure(judged, i) for i in positions)
    return (
        f"<section><h2>Labelled {html.escape(judged.classes[label])} "
        f"<small>{note}</small></h2>"
        f'<div class="images">{figures}</div></section>\n'
    )


def _figure(judged: Any, i: int) -> str:
    name, suggested = (
        html.escape(text) for text in (judged.names[i], judged.classes[judged.suggested[i]])
    )
    pixels = np.asarray(judged.images[[i]])[0]
    tiny = ' class="tiny"' if max(pixels.shape[:2]) < LARGEST // 2 else ""
    right = f"{judged.right[i]:.0%} right<br>" if judged.countable else ""
    # A label that is more likely right than wrong is no question.
    asked = "" if judged.suggested[i] == judged.given[i] else f"{suggested}?<br>"
    text = f"{asked}<small>{right}{name}</small>"
    return (
        f'<figure><img{tiny} src="data:image/png;base64,{_png(pixels)}" alt="{name}">'
        f"<figcaption>{text}</figcaption></figure>"
    )


def _png(pixels: np.ndarray) -> str:
    image = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
    image.thumbnail((LARGEST, LARGEST))
    file = io.BytesIO()
    image.save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()
