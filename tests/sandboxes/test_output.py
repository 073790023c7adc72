"""Output within bounds."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from megaagent.sandboxes.output import BoundedText


@given(st.text(), st.integers(1, 7))
def test_what_fits_is_whole_however_it_is_cut(text: str, size: int) -> None:
    data = text.encode()
    whole, unread = BoundedText(10_000), BoundedText(10_000)
    taken = ""
    for start in range(0, len(data), size):
        whole.add(data[start : start + size])
        unread.add(data[start : start + size])
        taken += unread.take(last=False)
    assert whole.text() == text
    assert taken + unread.take(last=True) == text


@given(st.lists(st.binary(max_size=400)), st.integers(2, 300))
def test_head_and_tail_are_kept_and_the_rest_is_counted(parts: list[bytes], limit: int) -> None:
    output = BoundedText(limit)
    for part in parts:
        output.add(part)
    data, half = b"".join(parts), limit // 2
    if len(data) <= 2 * half:
        assert output.text() == data.decode(errors="replace")
        assert output.left_out == 0
    else:
        assert output.left_out == len(data) - 2 * half
        assert f"{output.left_out} bytes left out" in output.text()
        assert len(output.text()) <= limit + 60


def test_cut_characters_do_not_become_question_marks() -> None:
    output = BoundedText(11)
    output.add(("ä" * 100).encode())
    assert "\ufffd" not in output.text()
    assert output.text().startswith("ää\n[...") and output.text().endswith("]\nää")
