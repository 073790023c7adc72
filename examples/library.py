"""MegaAgent as a library: a goal, a tool of your own, and what comes back.

    python examples/library.py

No model is asked: what the two agents say is a script in this file, so that the example runs without a key, in seconds.
For a real model leave `models` out and name one: model="openai:gpt-4.1".
"""

from __future__ import annotations

import tempfile

from megaagent import Script, run
from megaagent.models.script import Part, Playing, add_agent, call, review, wait, write_file
from megaagent.models.simulated import AT_ONCE, SimulatedModel

PRICES = {"chair": 80.0, "table": 240.0}

CLERK = (
    "You are clerk. You write the file offer.md, alone; boss reads it. Look every price up with price_of. "
    "You are done when offer.md stands; then hand in with terminate."
)


def price_of(article: str) -> float:
    """Look up what an article of our shop costs, in euros."""
    return PRICES[article]


def boss(me: Part) -> Playing:
    yield add_agent("clerk", "writes the offer", CLERK)
    while not me.reported("clerk"):
        yield wait(["clerk"], "I need the offer")
    yield review(["clerk"], "accept")
    return "The offer is offer.md."


def clerk(me: Part) -> Playing:
    yield call("price_of", article="chair")
    price = float(me.last.text)
    yield write_file("offer.md", f"Four chairs at {price:.2f} euros: {4 * price:.2f} euros\n")
    return "offer.md stands."


def main() -> None:
    simulated = {"sim:shop": SimulatedModel(Script({"boss": boss, "clerk": clerk}), latency=AT_ONCE)}
    with tempfile.TemporaryDirectory() as runs:
        result = run("Write an offer for four chairs.", tools=[price_of], model="sim:shop", models=simulated, runs=runs)
        print(result.status, "-", result.reason)
        print("report:", result.text)
        print("deliverable:", (result.path / "offer.md").read_text().strip())
        for agent in (result.tree, *result.tree.group):
            print(f"{agent.id}: {agent.steps} steps, wrote {', '.join(agent.files) or 'nothing'}")
        print("simulated, no model was asked" if result.simulated else f"cost ${result.cost:.4f}")


if __name__ == "__main__":
    main()
