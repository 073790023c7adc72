"""The acceptance check of the policies: reads the files that were delivered, and judges nothing else."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping

from megaagent.events import Struct
from megaagent.sandboxes.contract import Limits, Program
from megaagent.scenarios.contract import Check, Start
from megaagent.scenarios.policy.nation import SECTIONS, departments

_COLLECT = """\
import json, pathlib, sys
paths = sorted(p for p in pathlib.Path(".").glob("*.txt") if p.is_file() and not p.is_symlink())
text = lambda path: path.read_bytes()[:200_000].decode(errors="replace")
sys.stdout.write(json.dumps({path.name: text(path) for path in paths[int(sys.argv[1]):int(sys.argv[2])]}))
"""
_AT_ONCE = 5  # files that one program prints when the output of all is cut; each has about 5 kB
_MOST = 200  # files that are looked at
_NAMED = 5  # problems that one check names
_ALIKE = 0.6  # share of its lines that a policy may have in common with another


async def check(start: Start) -> list[Check]:
    """Try everything that the goal asks for.

    Raises:
        SandboxError: programs cannot be run at the configured level.
    """
    files = await collected(start)
    if files is None:
        return [Check("the files can be read", False, "a program could not print them as text")]
    return judged(files)


async def collected(start: Start) -> dict[str, str] | None:
    """The deliverable's text files by name; None when they cannot be printed."""
    every = await _printed(start, 0, _MOST)
    if every is not None:
        return every
    files: dict[str, str] = {}  # the output was cut: a few at a time
    for first in range(0, _MOST, _AT_ONCE):
        more = await _printed(start, first, first + _AT_ONCE)
        if not more:
            return files if more is not None else None
        files |= more
    return files


async def _printed(start: Start, first: int, end: int) -> dict[str, str] | None:
    """The files from the one with that number on."""
    process = await start(Program(("python", "-c", _COLLECT, str(first), str(end)), "", Limits(output=4 << 20)))
    ran = await process.wait()
    try:
        files: dict[str, str] = json.loads(ran.output)
    except ValueError:
        return None
    return files


def judged(files: Mapping[str, str]) -> list[Check]:
    """Every check on the text files, by their names."""
    deliverable = Deliverable(dict(files))
    return [_checked(name, examine(deliverable)) for name, examine in CHECKS.items()]


def _checked(name: str, problems: Iterator[str]) -> Check:
    found = list(problems)
    more = f"; and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
    return Check(name, not found, "; ".join(found[:_NAMED]) + more)


class Deliverable(Struct, frozen=True):
    """What was delivered."""

    files: dict[str, str]

    def policy(self, department: str) -> str:
        return self.files.get(f"policy_{department}.txt", "")

    def section(self, department: str, section: str) -> str:
        """The text below a section's heading."""
        headings = "|".join(map(re.escape, SECTIONS.values()))
        parts = re.split(rf"^({headings})[ \t]*$", self.policy(department), flags=re.MULTILINE)
        return dict(zip(parts[1::2], parts[2::2], strict=True)).get(SECTIONS[section], "")

    def lines(self, department: str, section: str) -> list[str]:
        """The lines of a section."""
        return [line.strip() for line in self.section(department, section).splitlines() if line.strip()]


# -- the checks -------------------------------------------------------------------------------------------------------


def all_there(it: Deliverable) -> Iterator[str]:
    names = [f"{kind}_{name}.txt" for name in departments() for kind in ("policy", "feedback")]
    for name in (*names, "framework.txt"):
        if not it.files.get(name, "").strip():
            yield f"{name} is missing or empty"
        elif "(to be written" in it.files[name]:
            yield f"{name} has a part that is still to be written"


def sections(it: Deliverable) -> Iterator[str]:
    for name in departments():
        for section, title in SECTIONS.items():
            if not re.search(rf"^{re.escape(title)}\s*$", it.policy(name), re.MULTILINE):
                yield f"policy_{name}.txt has no heading '{title}'"
            elif len(" ".join(it.lines(name, section))) < 150:
                yield f"policy_{name}.txt says next to nothing under '{title}'"


def principles(it: Deliverable) -> Iterator[str]:
    for name in departments():
        lines = it.lines(name, "purpose")
        if sum(line.startswith("- ") for line in lines) < 3:
            yield f"policy_{name}.txt has fewer than three principles"
        if not any(line.startswith("Objective:") and len(line) > 40 for line in lines):
            yield f"policy_{name}.txt names no objective"


def laws(it: Deliverable) -> Iterator[str]:
    for name in departments():
        numbered = [line for line in it.lines(name, "laws") if re.match(r"\d+\. ", line)]
        dated = [line for line in numbered if re.search(r"20[23]\d", line) and len(line) > 60]
        if len(dated) < 5:
            yield f"policy_{name}.txt has {len(dated)} laws or actions that are specific and dated, not five"


def offices(it: Deliverable) -> Iterator[str]:
    for name in departments():
        if not any(line.startswith("Responsible office:") and len(line) > 30 for line in it.lines(name, "office")):
            yield f"policy_{name}.txt names no responsible office"


def metrics(it: Deliverable) -> Iterator[str]:
    number = r"(-?[\d,.]*\d)"
    for name in departments():
        found = [
            pair
            for line in it.lines(name, "metrics")
            for pair in re.findall(rf"baseline\D{{0,20}}{number}.*?target\D{{0,20}}{number}", line)
        ]
        if sum(baseline != target for baseline, target in found) < 3:
            yield f"policy_{name}.txt has fewer than three metrics with a baseline and another target"


def timelines(it: Deliverable) -> Iterator[str]:
    for name in departments():
        lines = it.lines(name, "timeline")
        dates = [found[0] for line in lines if (found := re.match(r"20[23]\d-(0[1-9]|1[0-2])\b", line))]
        if len(dates) < 4 or dates != sorted(dates):
            yield f"policy_{name}.txt has {len(dates)} dated milestones, or not in their order"
        if not any(re.match(r"Review: .*(every|once|month|year|quarter)", line) for line in lines):
            yield f"policy_{name}.txt does not say how often it is reviewed"


def budgets(it: Deliverable) -> Iterator[str]:
    framework = it.files.get("framework.txt", "")
    for name in departments():
        lines = it.lines(name, "budget")
        [total, *_] = [*(_amount(line) for line in lines if line.startswith("Total:")), 0]
        parts = [_amount(line) for line in lines if line.startswith("- ")]
        ceiling = re.search(rf"\b{name} ([\d,]+)", framework)
        if not total or sum(parts) != total:
            yield f"policy_{name}.txt: the parts make {sum(parts):,} and the total is {total:,}"
        elif ceiling is None or total > int(ceiling[1].replace(",", "")):
            yield f"policy_{name}.txt: {total:,} is not within a ceiling that framework.txt names"


def _amount(line: str) -> int:
    found = re.search(r": *([\d,]+)", line)
    return int(found[1].replace(",", "")) if found else 0


def joint_measures(it: Deliverable) -> Iterator[str]:
    agreed = re.findall(r"^(JM-\d+) (\w+) \+ (\w+): .+$", it.files.get("framework.txt", ""), re.MULTILINE)
    if len({id for id, *_ in agreed}) < len(departments()) // 2:
        yield "framework.txt has too few joint measures for all departments to share one"
    for id, lead, partner in agreed:
        for name in (lead, partner):
            line = _line_with(it.files["framework.txt"], id)
            if _line_with(it.section(name, "budget"), id) != line:
                yield f"policy_{name}.txt does not repeat {id} as framework.txt has it"


def _line_with(text: str, id: str) -> str:
    return next((line.strip() for line in text.splitlines() if line.startswith(f"{id} ")), "")


def feedback(it: Deliverable) -> Iterator[str]:
    for name in departments():
        ledger = it.files.get(f"feedback_{name}.txt", "")
        entries = [line.split(" | ") for line in ledger.splitlines() if " | " in line]
        for section in SECTIONS:
            if not any(entry[0].startswith(f"{section}-") for entry in entries):
                yield f"feedback_{name}.txt has nothing about {section}"
        if len({tuple(entry[:1]) for entry in entries}) < len(entries):
            yield f"feedback_{name}.txt has one entry twice"
        for entry in entries:
            problem = _answered(entry, it.policy(name))
            if problem:
                yield f"feedback_{name}.txt, {entry[0]}: {problem}"


def _answered(entry: list[str], policy: str) -> str:
    if len(entry) != 4 or not all(part.strip() for part in entry):
        return "it has not four parts"
    kind, _, words = entry[3].partition(": ")
    if kind == "declined":
        return "" if len(words.split()) >= 5 else "it was declined without a reason"
    if kind != "done":
        return "it is neither done nor declined"
    quoted = re.findall(r'"([^"]+)"', words)
    return "" if quoted and all(quote in policy for quote in quoted) else "what is called done is not in the policy"


def differences(it: Deliverable) -> Iterator[str]:
    """No two policies may share most of their lines."""
    lines = {name: {line for line in it.policy(name).splitlines() if line.strip()} for name in departments()}
    names = list(lines)
    for number, one in enumerate(names):
        for other in names[number + 1 :]:
            common, size = len(lines[one] & lines[other]), min(len(lines[one]), len(lines[other]))
            if size and common > _ALIKE * size:
                yield f"policy_{one}.txt and policy_{other}.txt share {common} of {size} lines"


CHECKS: dict[str, Callable[[Deliverable], Iterator[str]]] = {
    "all files are there": all_there,
    "each policy has its sections": sections,
    "objective and principles": principles,
    "laws and actions": laws,
    "responsible office": offices,
    "metrics with baseline and target": metrics,
    "timeline and review": timelines,
    "budget": budgets,
    "joint measures agree": joint_measures,
    "feedback was answered": feedback,
    "policies differ": differences,
}
