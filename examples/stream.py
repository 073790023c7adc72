"""Every fact of a run as it is recorded, and a word to an agent in the middle.

    python examples/stream.py

No model is asked: the boss is played by the script in this file.
"""

from __future__ import annotations

import asyncio
import tempfile

from megaagent import Script, start
from megaagent.events import AgentRecruited, FileCommitted, HumanSpoke, RunEnded, WorkReported
from megaagent.models.script import Part, Playing, read_file, write_file
from megaagent.models.simulated import AT_ONCE, SimulatedModel


def boss(me: Part) -> Playing:
    yield write_file("poem.txt", "The wind\n")
    while (letter := me.heard("person", "person")) is None:
        yield read_file("poem.txt")
    yield write_file("poem.txt", f"The wind\n{letter.text}\n")
    return "poem.txt has two lines."


async def main() -> None:
    simulated = {"sim:poet": SimulatedModel(Script({"boss": boss}), latency=AT_ONCE)}
    with tempfile.TemporaryDirectory() as runs:
        async with start("Write a poem.", model="sim:poet", models=simulated, runs=runs) as live:
            told = False
            async for record in live:
                match record.event:
                    case AgentRecruited(id=id):
                        print(f"{id} joined")
                    case FileCommitted(path=path, size=size):
                        print(f"{record.agent} wrote {path}, {size} bytes")
                        if not told:
                            told = True
                            await live.control.send("boss", "The sea")
                    case HumanSpoke(action=action, text=text):
                        print(f"a person acted: {action} {text}")
                    case WorkReported(report=report):
                        print(f"{record.agent} handed in: {report}")
                    case RunEnded(status=status):
                        print(f"the run ended: {status}")
                    case _:
                        pass
            result = await live.result()
        print((result.path / "poem.txt").read_text(), end="")
        print("simulated, no model was asked")


if __name__ == "__main__":
    asyncio.run(main())
