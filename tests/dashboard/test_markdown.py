"""The Markdown that the page draws, in a real browser: what it understands, and that nothing of it can act."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.dashboard.browsing import browser, chromium, visit
from tests.dashboard.visiting import PATIENCE

from megaagent.dashboard.address import Place
from megaagent.dashboard.serving import serving

DRAW = """async (text) => {
  const { markdown } = await import("/static/js/markdown.js");
  const box = document.createElement("div");
  box.append(...markdown(text));
  document.body.append(box);
  return box.innerHTML;
}"""
OUT = 'rel="noopener noreferrer nofollow external" target="_blank"'


def link(words: str, to: str) -> str:
    return f'<a class="out" href="{to}" title="{to}" {OUT}>{words}</a>'


UNDERSTOOD = {
    "plain\nlines": "<p>plain\nlines</p>",
    "one\n\ntwo": "<p>one</p><p>two</p>",
    "a **b *c* d** `e *f*`": "<p>a <strong>b <em>c</em> d</strong> <code>e *f*</code></p>",
    "``a ` b`` ~~gone~~": "<p><code>a ` b</code> <s>gone</s></p>",
    "__init__ and snake_case_name": "<p>__init__ and snake_case_name</p>",
    "2 * 3 * 4, f(*args, **kwargs)": "<p>2 * 3 * 4, f(*args, **kwargs)</p>",
    "# Title": '<div class="h h1" role="heading" aria-level="4">Title</div>',
    "- a\n- b\n  - c\n- [x] d": '<ul><li>a</li><li>b<ul><li>c</li></ul></li><li class="task">☑ d</li></ul>',
    "3. a\n4. b": '<ol start="3"><li>a</li><li>b</li></ol>',
    "> a\n> > b": "<blockquote><p>a</p><blockquote><p>b</p></blockquote></blockquote>",
    "```python\nif a < b:\n    **c**\n```\nend": '<pre class="block">if a &lt; b:\n    **c**</pre><p>end</p>',
    "```\nnever closed": '<pre class="block">never closed</pre>',
    "text\n\n---\n\ntext": "<p>text</p><hr><p>text</p>",
    "so:\n| a | b |\n|---|:-:|\n| 1 | `2\\|3` |\n| 4 |": '<p>so:</p><div class="wide-table"><table><thead><tr>'
    '<th scope="col">a</th><th scope="col">b</th></tr></thead><tbody><tr><td>1</td><td><code>2|3</code></td></tr>'
    "<tr><td>4</td><td></td></tr></tbody></table></div>",
    "see [the page](https://example.org/a?b=c)": "<p>see "
    + link("the page", "https://example.org/a?b=c")
    + '<span class="soft to"> (https://example.org/a?b=c)</span></p>',
    "at https://example.org/x.": f"<p>at {link('https://example.org/x', 'https://example.org/x')}.</p>",
}
# Each stays exactly the text that it is.
LEFT_ALONE = [
    "[click](javascript:window.owned=1)",
    "[click](JaVaScRiPt:window.owned=1)",
    "[click](&#106;avascript:window.owned=1)",
    "[click](\tjavascript:window.owned=1)",
    "[click](data:text/html;base64,PHNjcmlwdD4=)",
    "[click](vbscript:msgbox)",
    "[click](file:///etc/passwd)",
    "[click](blob:https://example.org/1)",
    "[click](//evil.example/x)",
    "[click](/api/session)",
    "[click](https://user:word@evil.example/)",
    "[click](https://127.0.0.1:8642@evil.example/)",
    "[click](https://)",
    "![picture](https://evil.example/pixel.png)",
    "![picture](javascript:window.owned=1)",
    "![picture](data:image/svg+xml,<svg onload=window.owned=1>)",
    "<script>window.owned=1</script>",
    "<img src=x onerror=window.owned=1>",
    "<svg/onload=window.owned=1>",
    "<a href='javascript:window.owned=1'>x</a>",
    "<javascript:window.owned=1>",
    "[a]: javascript:window.owned=1",
    "[click][a]",
    "<!-- comment --> <?php ?> <![CDATA[x]]>",
    "&lt;script&gt; &copy; &#60;",
    "<style>body{display:none}</style>",
    "<div style='position:fixed;inset:0'>over everything</div>",
    "[x](<javascript:window.owned=1>)",
    "[x](https://example.org'onmouseover=window.owned=1 y)",
    "{{7*7}} ${7*7} <%= 7*7 %>",
    "[ ](ftp://a b)",
    "\\<script>window.owned=1</script>",
]
LONG = {
    "stars": "*" * 50_000,
    "open stresses": "*a " * 15_000,
    "open code": "`a" * 20_000,
    "growing code": "".join("`" * (n % 8) + "a" for n in range(9_000)),
    "brackets": "[" * 50_000,
    "open links": "[a](" * 12_000,
    "quotes": ">" * 50_000,
    "lists": "\n".join(" " * (n % 12) + "- a" for n in range(12_000)),
    "headings": "# a" + " " * 50_000 + "b",
    "rule": "- " * 25_000 + "b",
    "fence": "~" * 50_000 + "`",
    "table": "|" * 25_000 + "\n" + "|-" * 12_000,
    "almost a table": "a|b\n" + "-" + " " * 50_000 + "x",
    "spaces": " " * 59_000,
    "addresses": "http://" * 8_000,
    "too long": "**a** " * 100_000,
}


@pytest.fixture
async def page(tmp_path: Path) -> AsyncIterator[Any]:
    chromium()
    async with serving(tmp_path, Place()) as links, browser() as started, visit(started, links.full) as watched:
        await watched.seen("No run yet")
        yield watched


async def test_what_agents_write_most_is_drawn(page: Any) -> None:
    for text, drawn in UNDERSTOOD.items():
        assert await page.page.evaluate(DRAW, text) == drawn
    assert not page.wrong


async def test_what_could_act_stays_text(page: Any) -> None:
    assert len(LEFT_ALONE) >= 32
    for text in LEFT_ALONE:
        drawn = await page.page.evaluate(f"async (text) => {{ await ({DRAW})(text); }}", text)
        box = page.page.locator("body > div").last
        assert (await box.text_content()) == text.strip(), drawn
        inside = await box.evaluate("it => [...it.querySelectorAll('*')].map((each) => each.tagName)")
        assert set(inside) <= {"P"}, (text, inside)
    assert await page.page.evaluate("() => window.owned") is None
    assert not page.wrong  # nothing was asked of another host


async def test_no_text_holds_the_page_up(page: Any) -> None:
    for name, text in LONG.items():
        try:
            async with asyncio.timeout(PATIENCE):  # a pattern that goes wrong takes minutes
                await page.page.evaluate(DRAW, text)
        except TimeoutError:
            raise AssertionError(f"{name} holds the page up") from None
    assert not page.wrong
