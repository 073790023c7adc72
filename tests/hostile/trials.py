"""One hostile answer in a small organization: others' work goes on, and nothing is touched that is not its own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import msgspec
from tests.hostile.judging import Overheard, Watch, problems_of
from tests.hostile.outputs import LARGE, OUTPUTS, PROMPT, Wire

from megaagent.models.chat import Answer, Piece, decode_piece
from megaagent.models.contract import ModelRequest, ModelResponse
from megaagent.models.script import Part, Playing, Script, add_agent, review, say, text, wait, write_file
from megaagent.models.simulated import AT_ONCE, SimulatedModel
from megaagent.settings import Settings, changed
from megaagent.testing import Rehearsal, rehearse

UNTOUCHED = {"sibling.txt": "the sibling's work\n", "boss.txt": "the boss's work\n"}
OWN = {"villain.txt", "a.txt", "b.txt", "after.txt", "a\ufffdb"}  # what the villain may write


def boss(me: Part) -> Playing:
    yield say(
        write_file("boss.txt", UNTOUCHED["boss.txt"]),
        add_agent("villain", "writes villain.txt", PROMPT.format("villain")),
        add_agent("sibling", "writes sibling.txt", PROMPT.format("sibling")),
    )
    while not me.reported("villain", "sibling"):
        yield wait([], "need their work")
    yield review(["villain", "sibling"], "accept")
    return "everything stands"


def villain(me: Part) -> Playing:
    yield text("(the hostile answer stands here)")
    yield write_file("villain.txt", "the villain's own work\n")
    recruit = me.result_of("add_agent")
    if recruit is not None and recruit.ok:
        while not (reports := [letter for letter in me.mail if letter.kind == "report"]):
            yield wait([], "need what it makes")
        yield review([reports[0].sender], "accept")
    return "villain.txt stands"


def sibling(me: Part) -> Playing:
    yield write_file("sibling.txt", UNTOUCHED["sibling.txt"])
    return "sibling.txt stands"


class Possessed:
    """Plays the script, but the villain's first answer is a hostile one, read as the adapter reads a provider's."""

    def __init__(self, message: Wire):
        self._model = SimulatedModel(Script({"boss": boss, "villain": villain, "sibling": sibling}), latency=AT_ONCE)
        self._message: Wire | None = message

    async def complete(self, request: ModelRequest) -> ModelResponse:
        if self._message is None or "You are villain " not in request.messages[1].text or not request.tools:
            return await self._model.complete(request)
        message, self._message = self._message, None
        return read(message)

    async def close(self) -> None: ...


def read(message: Wire) -> ModelResponse:
    """A provider's message as the adapter hands it on."""
    choice = {"message": {"role": "assistant", **message}, "finish_reason": "stop"}
    wire: dict[str, Any] = {"choices": [choice], "usage": {"prompt_tokens": 1000, "completion_tokens": 100}}
    answer = Answer()
    answer.add(decode_piece(json.dumps(wire).encode(), msgspec.json.Decoder(Piece)))
    return answer.response()


def play(message: Wire) -> tuple[Rehearsal, list[ModelRequest]]:
    """The run in which the villain gives that answer."""
    model = Overheard(Possessed(message))
    settings = changed(Settings(), {"budget.cost": None}, "a test")
    run = rehearse(model, "Write three files.", settings=settings, play=lambda program, revision: (0, "it ran\n"))
    return run, model.requests


def problems_with(message: Wire, seconds: float = 120.0) -> Iterator[str]:
    """What is wrong when the villain gives that answer."""
    watch = Watch(seconds)
    run, requests = play(message)
    yield from watch.problems()
    if run.ending.status != "completed":
        yield f"the run ended as {run.ending.status}: {run.ending.reason}"
    for path, content in UNTOUCHED.items():
        if run.files.get(path) != content:
            yield f"{path} is not as its owner wrote it"
    for path in run.files:
        if path not in UNTOUCHED and path not in OWN and not path.startswith("many/"):
            yield f"{path!a} was written"
    yield from problems_of(run, requests)


def cases(full: bool) -> Iterator[tuple[str, list[str]]]:
    """Every answer, the large ones too in the large form: what it was, and what was wrong."""
    for name, message in (OUTPUTS | LARGE if full else OUTPUTS).items():
        yield name, list(problems_with(message))
