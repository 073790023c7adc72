"""The figures on paper follow from those that were measured, and the page has them."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent


def reckoning() -> Any:
    spec = importlib.util.spec_from_file_location("scaling", ROOT / "scripts" / "scaling.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_has_the_table_that_the_program_prints():
    table = "\n".join(reckoning().table())
    assert table in (ROOT / "docs/scaling.md").read_text(), "run python scripts/scaling.py and put its table there"


def test_the_page_of_measurements_has_what_the_program_reckons_with():
    scaling, page = reckoning(), (ROOT / "docs/performance.md").read_text()
    for figure in (
        *("16,721", "8.10 MB", "2,301", "627", "6.97", "2,186", "73.4"),
        *(f"{scaling.FACTS_S:,}", f"{scaling.COMMITS_S:,}", f"{scaling.MAIL_S:,}", f"{scaling.AT_REST:,}"),
        *(f"{scaling.RECRUITED_S:,}", f"about\n{scaling.WORK_MS} ms"),
        *(f"{each:.2f}" for each in (scaling.CALL_MS, scaling.CALL_MS_RAY, scaling.DRIVER_MS)),
    ):
        assert figure in page, f"docs/performance.md says {figure} no more: put the new figure into scripts/scaling.py"


def test_what_a_head_bears_is_what_the_text_says():
    scaling, page = reckoning(), (ROOT / "docs/scaling.md").read_text()
    said = re.search(r"one head carries\s+about (\d+) steps a second", page)
    assert said is not None and abs(int(said[1]) - 1000 / scaling.STEP_MS_RAY) < 10
