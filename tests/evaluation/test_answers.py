"""Answers of MATH and GSM8K: the reference's rules, and what says the same in other words."""

from __future__ import annotations

import time

import pytest

from megaagent.evaluation.boxed import last_boxed, normal, same_text
from megaagent.evaluation.equivalence import equivalent
from megaagent.evaluation.gsm8k import final_number

BOXES = {
    r"so $\boxed{\frac{1}{2}}$.": r"\frac{1}{2}",
    r"\boxed{1} and then \boxed{\{1,\{2\}\}}": r"\{1,\{2\}\}",
    r"\fbox{3}": "3",
    r"$\boxed 7$": "7",
    r"\boxed {8}": "8",
    r"\boxed{never closed": None,
    "nothing": None,
    r"\boxed{}": "",
    r"\boxed": None,
}


@pytest.mark.parametrize("text", BOXES)
def test_the_last_box(text: str) -> None:
    assert last_boxed(text) == BOXES[text]


# One form for each step of the reference's rule.
NORMAL = {
    "\\frac12": "\\frac{1}{2}",
    "\\dfrac1{72}": "\\frac{1}{72}",
    "\\tfrac{3}{4} i": "\\frac{3}{4}i",
    "0.5": "\\frac{1}{2}",
    ".5": "\\frac{1}{2}",
    "3/4": "\\frac{3}{4}",
    "03/4": "03/4",
    "x=5": "5",
    "xyz=5": "xyz=5",
    "10\\text{ units}": "10",
    "10\\text{units}": "10\\text{units}",
    "10\\%": "10",
    "\\$10": "10",
    "90^\\circ": "90",
    "\\left(x-2\\right)": "(x-2)",
    "\\sqrt3 + 1": "\\sqrt{3}+1",
    "1\\!000": "1000",
    "": "",
}


@pytest.mark.parametrize("text", NORMAL)
def test_the_form_of_the_reference(text: str) -> None:
    assert normal(text) == NORMAL[text]


def test_where_the_rule_breaks_down_texts_are_compared() -> None:
    for text in ("\\frac", "\\sqrt", "1\\text{ a}\\text{ b}"):
        with pytest.raises(ValueError):
            normal(text)
        assert same_text(text, text)
        assert not same_text(text, "5")
    assert not same_text(None, None)
    assert not same_text("10, 4, -2", "4, 10, -2")


SAME = [
    (r"\frac{1}{2}", "0.50"),
    (r"\dfrac12", "1/2"),
    (r"3\frac{1}{2}", "3.5"),
    (r"(-\infty, 2)\cup(3,\infty)", r"(3,\infty) \cup (-\infty,2)"),
    (r"\left(\frac{1}{2}, 3\right)", "(0.5,3)"),
    (r"\frac{\sqrt{3}}{2}", r"\sqrt{3}/2"),
    ("x^2+2x+1", "(x+1)^2"),
    (r"\text{Evelyn}", "evelyn"),
    ("10,080", "10080"),
    (r"2\pm\sqrt{3}", r"2-\sqrt3, 2+\sqrt3"),
    (r"5\text{ cm}^2", "5"),
    ("12 cm", "12"),
    (r"\frac{3}{4}\text{ miles}", "0.75"),
    (r"\text{(B)}", "B"),
    ("y=2x+3", "2x+3"),
    ("2x+4y=6", "x+2y-3=0"),
    (r"\{1,2,3\}", "3,2,1"),
    ("-2,1", "1 and -2"),
    (r"\begin{pmatrix} 1 & 2 \\ 3 & \frac12 \end{pmatrix}", r"\begin{bmatrix} 1&2\\3&0.5\end{bmatrix}"),
    (r"11\sqrt{2}", r"\sqrt{242}"),
    (r"x \in [-2,7]", "[-2,7]"),
    (r"e^{i\pi}", "-1"),
    (r"\log_2 8", "3"),
    (r"\binom{5}{2}", "10"),
    ("6 - 5i", "-5i+6"),
    (r"\sin^2 x", r"(\sin x)^2"),
    ("2^{100}", "1267650600228229401496703205376"),
    (r"x \ge 3", r"x\geq 3"),
    (r"\sqrt[3]{8}", "2"),
    ("1011_2", "1011"),
    (r"\pi/4", r"\frac{\pi}{4}"),
    ("|x-2|", r"\left|x-2\right|"),
    ("4!", "24"),
    (r"164\pi", r"164 \pi \mbox{ square feet}"),
    (r"1.85\ \text{USD}", r"\$1.85"),
    (r"0.25\,\text{ cm}", r"\frac14"),
    (r"\approx 8.24 \text{ mph}", "8.24 mph"),
    (r"125\textnormal{ miles}", "125"),
    (r"\mathbf{2340}", "2,340"),
    (r"11,\! 111,\! 100", "11111100"),
    ("28 percent", r"28\%"),
    (r"AB=12+12\sqrt{3}", r"12(1+\sqrt3)"),
    (r"0.56 = 56\%", r"56\%"),
    (r"\$\dfrac23 \approx \$0.67", r"\frac{2}{3}"),
    (r"\text{4:30 p.m.}", r"4:30 \text{ PM}"),
    ("1 : 2", "1:2"),
    (r"12\text{ and }13", "13, 12"),
    (r"(7,11)\text{ or }(11,7)", r"(11,7),\ (7,11)"),
    (r"\text{A, D, F}", "F, D, A"),
    (r"\pm 2021", r"\{2021, -2021\}"),
    ("x=3z", "x - 3z = 0"),
    (r"8r^2 \ge s^2", r"s^2 \leq 8r^2"),
    ("f(4) > f(1) > f(2)", "f(2) < f(1) < f(4)"),
    ("-x >= -1", r"x \le 1"),
    (r"x \ge 1", r"[1,\infty)"),
    ("-3 < x", r"(-3,\infty)"),
    (r"-2 \le x < 3", "[-2,3)"),
    (r"\mathbb{R}", r"(-\infty,\infty)"),
    ("(x,y)=(4,24)", "x=4, y=24"),
    (r"\varnothing", r"\emptyset"),
    (r"\cot 10^\circ", r"\tan 80^{\circ}"),
    (r"2 - \sqrt{3}", r"\tan 15^\circ"),
    (r"3\frac18", "3.125"),
    (r"\lfloor 3.7 \rfloor", "3"),
    ("|x^2|", "|x|^2"),
    (r"\ln x^2", r"2\ln x"),
    ("2516_8", "2516_{8}"),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_the_same(one: str, other: str) -> None:
    assert equivalent(one, other)
    assert equivalent(other, one)


OTHER = [
    ("0.333333", r"\frac13"),
    ("(1,2)", "[1,2]"),
    ("(1,2)", "(2,1)"),
    ("x+1", "x-1"),
    ("Evelyn", "Carla"),
    ("2,3", "2,3,4"),
    ("2,2,3", "2,3,3"),
    ("10", "100"),
    (r"\{1,2\}", "(1,2)"),
    ("x", "y"),
    ("5", "x"),
    ("1/0", "2"),
    ("(3,4]", "(3,4)"),
    ("", "5"),
    ("2^{100}+1", "2^{100}"),
    ("-5", "5"),
    ("x=2y", "x=3y"),
    ("3", "3,4"),
    (r"\text{A}", r"\text{B}"),
    (r"x \ge 3", r"x \le 3"),
    (r"\begin{pmatrix} 1 & 2 \end{pmatrix}", r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}"),
    ("0", "0x"),
    (r"\infty", r"-\infty"),
    ("|x|", "x"),
    (r"\sqrt{x^2}", "x"),
    ("(1,2)", "12"),
    ("(-1,0]", "x=-10"),
    ("1:2", "12"),
    ("101_2", "101_3"),
    (r"6\frac15", r"\frac65"),
    ("ABCD", "BADC"),
    (r"\text{CBAD}", r"\text{ABCD}"),
    ("x > 1", r"[1,\infty)"),
    ("x < -1", "x > -1"),
    ("-x > 1", "x > -1"),
    ("x = 2", r"x \ge 2"),
    (r"\tan \theta = 2\theta", r"2\theta"),
    (r"\text{4:30 p.m.}", r"\text{4:30 a.m.}"),
    (r"1 + \sqrt{19}", r"1 \pm \sqrt{19}"),
    ("f(4) > f(2) > f(1)", "f(2) < f(1) < f(4)"),
    (r"\cos 13^\circ", r"\cos 14^\circ"),
    ("10^{400}", "10.0^{401}"),
    ("1", "1,-2"),
]


@pytest.mark.parametrize(("one", "other"), OTHER)
def test_not_the_same(one: str, other: str) -> None:
    assert not equivalent(one, other)
    assert not equivalent(other, one)


HOSTILE = [
    "9^{9^{9^{9^{9}}}}",
    "(" * 900 + "1" + ")" * 900,
    r"\frac" * 400,
    "1000!!!!",
    r"\sqrt[0]{2}",
    r"\binom{99999999}{3}",
    "{" * 1900,
    ",".join("x" * 30),
    r"\text{" * 300,
    "1" * 1999,
    "|" * 1999,
    "-" * 1999 + "1",
    r"\pm" * 500,
    "9" * 100_000,
    "\0\ud800",
    "1" + " " * 1900 + "x",
    r"1\quad" * 300 + r"\text{",
    r"1\text{" + " " * 1900,
    "x<" * 900 + "x",
    "10^{19999}" + "0" * 500,
    r"\lfloor" * 280,
    "1:" * 900,
]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_answers_are_wrong_and_quickly_so(text: str) -> None:
    began = time.process_time()
    assert not equivalent(text, "3")
    assert not equivalent(text, r"\frac{1}{3}, 4")
    assert time.process_time() - began < 5  # a backstop far from what it takes


NUMBERS = {
    "#### 42": "42",
    "so\n#### -1,234": "-1234",
    "#### 3.50": "3.50",
    "#### 5 #### 6": "5",
    "####42": None,
    "#### $42": None,
    "42": None,
}


@pytest.mark.parametrize("text", NUMBERS)
def test_final_numbers(text: str) -> None:
    assert final_number(text) == NUMBERS[text]
