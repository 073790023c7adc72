"""A solution passes by what its functions return, and by nothing else that it does."""

# ruff: noqa: E501  # programs as texts

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from megaagent.evaluation.programs import Judge, Trial, defined_in, judging, names_in

TESTS = "def check(candidate):\n    assert candidate(2) == 6\n    assert candidate(0) == 0\ncheck(triple)"


@pytest.fixture
async def judge() -> AsyncIterator[Judge]:
    async with judging(seconds=1.0, places=2) as made:
        yield made


def trial(program: str) -> Trial:
    return Trial(program, TESTS, ("triple",))


RIGHT = {
    "plain": "def triple(n):\n    return 3 * n",
    "prints and has a main": "print('hello' * 9999)\ndef triple(n):\n    print(n)\n    return 3 * n\n"
    "if __name__ == '__main__':\n    raise SystemExit('a script')",
    "a subclass of int": "class N(int):\n    pass\ndef triple(n):\n    return N(3 * n)",
    "a callable object": "class T:\n    def __call__(self, n):\n        return 3 * n\ntriple = T()",
}


@pytest.mark.parametrize("name", RIGHT)
async def test_right_programs_pass(judge: Judge, name: str) -> None:
    outcome = await judge.passes(trial(RIGHT[name]))
    assert outcome.passed, outcome.why


FAKES = {
    "wrong": "def triple(n):\n    return 4 * n",
    "leaves with 0": "import sys\nsys.exit(0)",
    "leaves with 0 at once": "import os\nos._exit(0)",
    "leaves with 0 when called": "import os\ndef triple(n):\n    os._exit(0)",
    "raises SystemExit when called": "def triple(n):\n    raise SystemExit(0)",
    "is equal to all": "class All(int):\n    def __eq__(self, other):\n        return True\n    __hash__ = int.__hash__\n"
    "def triple(n):\n    return All(1)",
    "no int, equal to all": "class All:\n    def __eq__(self, other):\n        return True\ndef triple(n):\n    return All()",
    "prints the verdict": 'print(\'{"passed": true, "why": ""}\', flush=True)\ndef triple(n):\n    return 0',
    "writes the verdict everywhere": 'import os, glob\nfor d in range(3, 64):\n    try:\n        os.write(d, b\'{"passed": '
    'true, "why": ""}\\n\')\n    except OSError:\n        pass\ndef triple(n):\n    return 0',
    "writes it to other processes": "import glob\nfor path in glob.glob('/proc/[0-9]*/fd/*'):\n    try:\n"
    '        open(path, \'w\').write(\'{"passed": true, "why": ""}\\n\')\n    except Exception:\n        pass\n'
    "def triple(n):\n    return 0",
    "replaces the helpers": "import builtins, json, sys\nbuiltins.AssertionError = type('A', (), {})\nbuiltins.isinstance ="
    " lambda *a: True\ncheck = lambda c: None\njson.dumps = lambda o: '{\"passed\": true}'\ndef triple(n):\n    return 0",
    "replaces what decides": "import sys\nmain = sys.modules['__main__']\nmain.answered = lambda *a: {'passed': True, "
    "'why': ''}\ndef triple(n):\n    return 0",
    "kills all that it can": "import os, signal\nfor pid in range(2, 400):\n    try:\n        os.kill(pid, signal.SIGKILL)"
    "\n    except OSError:\n        pass\ndef triple(n):\n    return 0",
    "kills its parent": "import os, signal\ndef triple(n):\n    os.kill(os.getppid(), signal.SIGKILL)\n    return 0",
    "changes the harness": "import os\nopen('harness.py', 'w').write('print(1)')\ndef triple(n):\n    return 0",
    "leaves modules behind": "open('json.py', 'w').write('raise SystemExit(0)')\ndef triple(n):\n    return 0",
    "never ends": "def triple(n):\n    while True:\n        pass",
    "has no function": "x = 1",
    "is no Python": "def triple(n:",
    "has a NUL": "\0",
    "is no text": "\ud800",
    "raises without end": "def triple(n):\n    return triple(n)",
    "answers too much": "def triple(n):\n    return 'x' * (1 << 24)",
    "answers in circles": "def triple(n):\n    x = []\n    x.append(x)\n    return x",
    "has an error that cannot be told": "class E(Exception):\n    def __str__(self):\n        raise SystemExit(0)\n"
    "def triple(n):\n    raise E",
    "floods": "import os\ndef triple(n):\n    while True:\n        for d in range(3, 64):\n            try:\n"
    "                os.write(d, b'x' * 65536)\n            except OSError:\n                pass",
}


@pytest.mark.parametrize("name", FAKES)
async def test_no_trick_passes(judge: Judge, name: str) -> None:
    outcome = await judge.passes(trial(FAKES[name]))
    assert not outcome.passed
    assert outcome.why


async def test_what_the_tests_say_is_told(judge: Judge) -> None:
    outcome = await judge.passes(trial(FAKES["wrong"]))
    assert outcome.why == "AssertionError at assert candidate(2) == 6"
    outcome = await judge.passes(trial("import os\nos._exit(3)"))
    assert outcome.why == "its process ended (exit code 3)"
    outcome = await judge.passes(trial("raise KeyError('k')"))
    assert "KeyError" in outcome.why
    outcome = await judge.passes(trial(FAKES["has no function"]))
    assert outcome.why == "the program has no triple"


VALUES = """
def check(f):
    assert f("list") == [1, [2.5, None], (True, "x")]
    assert isinstance(f("list"), list)
    assert f("tuple") == (1, 2) and f("tuple") != [1, 2]
    assert f("set") == {1, 2}
    assert f("dict") == {1: {"a": 2}}
    assert f("counter") == {"a": 2}
    assert f("keys") == {1, 2}
    assert f("range") == range(3) and f("range") != [0, 1, 2]
    assert list(f("generator")) == [0, 1, 4]
    assert f("bytes") == b"ab"
    assert f("complex") == 1j
    assert f("big") == 10 ** 5000
    assert f("fraction") * 2 == 1
    assert f("nan") != f("nan") and f("inf") > 1e308
    assert f("deque")[0] == 3
    try:
        f("error")
    except ValueError as error:
        assert "no" in str(error)
    else:
        raise AssertionError("no error came")
    thing = f("object")
    assert thing.x == 5 and thing.twice() == 10
    assert f("same", thing) == 5
check(f)
"""

GIVES = """
from collections import Counter, deque
from fractions import Fraction
class Thing:
    x = 5
    def twice(self):
        return 2 * self.x
def error():
    raise ValueError("no")
def f(what, thing=None):
    return {
        "list": lambda: [1, [2.5, None], (True, "x")], "tuple": lambda: (1, 2), "set": lambda: {1, 2},
        "dict": lambda: {1: {"a": 2}}, "counter": lambda: Counter("aa"), "keys": lambda: {1: 0, 2: 0}.keys(),
        "range": lambda: range(3), "generator": lambda: (n * n for n in range(3)), "bytes": lambda: b"ab",
        "complex": lambda: 1j, "big": lambda: 10 ** 5000, "fraction": lambda: Fraction(1, 2),
        "nan": lambda: float("nan"), "inf": lambda: float("inf"), "deque": lambda: deque([3]), "error": error,
        "object": Thing, "same": lambda: thing.x,
    }[what]()
"""


async def test_values_come_as_they_are(judge: Judge) -> None:
    outcome = await judge.passes(Trial(GIVES, VALUES, ("f",)))
    assert outcome.passed, outcome.why


async def test_the_solution_cannot_give_the_tests_their_helpers(judge: Judge) -> None:
    fake = "set = lambda x: 1\nclass math:\n    isclose = staticmethod(lambda *a: True)\ndef f(x):\n    return x"
    told = Trial(fake, "assert set(f([1])) == set([2])", ("f",))
    assert not (await judge.passes(told)).passed
    told = Trial(fake, "assert math.isclose(f(1), 2)", ("f",), modules=("math",))
    assert not (await judge.passes(told)).passed
    told = Trial(fake, "import math\nassert math.isclose(f(1), 2)", ("f",), also=("math",))
    assert not (await judge.passes(told)).passed


def test_names_of_code() -> None:
    assert set(names_in("import math as m\nx = 1\nassert set(f(x)) == m.floor(g(2.5))")) == {"set", "f", "g"}
    assert defined_in("def a(): ...\nclass B:\n    def c(self): ...\nd = 1") == ("a", "B")
    assert defined_in("def (") == ()
