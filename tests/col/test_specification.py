"""Signal temporal logic: against rtamt as the oracle, against its own laws, and on what is missing."""

from __future__ import annotations

import contextlib
import math
import pickle
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
import rtamt
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from col.errors import InputError
from col.plant import Windows
from col.specification import Specification, Verdict

FloatArray = NDArray[np.float64]
NAN = math.nan

# Comparisons by name: our text, and the margin that the text shall have, written out by hand.
PREDICATES: dict[str, tuple[str, Callable[[dict[str, FloatArray]], FloatArray]]] = {
    "p0": ("a >= 8", lambda c: (c["a"] - 8) / 8),
    "p1": ("a <= 2 * b", lambda c: (2 * c["b"] - c["a"]) / np.maximum(abs(2 * c["b"]), 1e-9)),
    "p2": ("b < 0", lambda c: -c["b"]),
    "p3": ("-3 < b", lambda c: (c["b"] + 3) / 3),
    "p4": ("a - b > 0.5", lambda c: (c["a"] - c["b"] - 0.5) / 0.5),
}


@dataclass(frozen=True)
class Formula:
    """A formula in our words and in rtamt's, where each comparison is a signal that is its margin."""

    ours: str
    theirs: str
    holds: str  # as a Python expression over `value(name, i)` with a free window `t`
    horizon: int


def _unary(word: str, first: int, width: int, f: Formula) -> Formula:
    window = f"[{first},{first + width}]"
    every = {"always": "all", "eventually": "any"}[word]
    holds = f"{every}(map(lambda t: {f.holds}, range(t + {first}, t + {first + width + 1})))"
    text = f"{word}{window}({{}})"
    return Formula(text.format(f.ours), text.format(f.theirs), holds, f.horizon + first + width)


def _binary(word: str, f: Formula, g: Formula) -> Formula:
    holds = f"(not {f.holds} or {g.holds})" if word == "implies" else f"({f.holds} {word} {g.holds})"
    text = f"({{}} {word} {{}})"
    return Formula(text.format(f.ours, g.ours), text.format(f.theirs, g.theirs), holds, max(f.horizon, g.horizon))


def _until(first: int, width: int, f: Formula, g: Formula) -> Formula:
    last = first + width
    held = f"all(map(lambda t: {f.holds}, range(t, j)))"
    holds = f"any((lambda t: {g.holds})(j) and {held} for j in range(t + {first}, t + {last + 1}))"
    text = f"(({{}}) until[{first},{last}] ({{}}))"
    horizon = last + max(g.horizon, f.horizon - 1 if last else 0)
    return Formula(text.format(f.ours, g.ours), text.format(f.theirs, g.theirs), holds, horizon)


def _not(f: Formula) -> Formula:
    return Formula(f"not ({f.ours})", f"not ({f.theirs})", f"(not {f.holds})", f.horizon)


small = st.integers(0, 3)
formulas = st.recursive(
    st.sampled_from(sorted(PREDICATES)).map(lambda p: Formula(PREDICATES[p][0], f"({p} >= 0)", f"value({p!r}, t)", 1)),
    lambda f: st.one_of(
        st.builds(_not, f),
        st.builds(_unary, st.sampled_from(["always", "eventually"]), small, small, f),
        st.builds(_binary, st.sampled_from(["and", "or", "implies"]), f, f),
        st.builds(_until, small, small, f, f),
    ),
    max_leaves=6,
)
values = st.one_of(st.integers(-4, 12).map(float), st.floats(-20, 20).map(lambda v: round(v, 3)))


def traces(length: int) -> st.SearchStrategy[dict[str, FloatArray]]:
    column = st.lists(values, min_size=length, max_size=length).map(np.array)
    return st.fixed_dictionaries({"a": column, "b": column})


formulas_and_traces = formulas.flatmap(lambda f: st.tuples(st.just(f), traces(f.horizon)))


def rtamt_robustness(formula: Formula, columns: dict[str, FloatArray]) -> float:
    oracle = rtamt.StlDiscreteTimeOfflineSpecification()
    length = max(2, formula.horizon)  # rtamt fails on a single sample; later ones do not change the first result
    data: dict[str, list[float]] = {"time": list(range(length))}
    for name, (_, margin) in PREDICATES.items():
        oracle.declare_var(name, "float")
        data[name] = np.resize(margin(columns), length).tolist()
    oracle.spec = formula.theirs
    oracle.parse()
    return float(oracle.evaluate(data)[0][1])


@given(formulas_and_traces)
@settings(max_examples=200)
def test_robustness_is_that_of_rtamt_on_random_formulas_and_traces(case: tuple[Formula, dict[str, FloatArray]]) -> None:
    formula, columns = case
    specification = Specification.parse(formula.ours)
    assert specification.horizon == formula.horizon
    expected = rtamt_robustness(formula, columns)
    assert float(specification.robustness(columns)) == pytest.approx(expected, rel=1e-12, abs=1e-300)


@given(formulas_and_traces)
@settings(max_examples=200)
def test_a_verdict_is_what_the_words_say_also_at_equality(case: tuple[Formula, dict[str, FloatArray]]) -> None:
    formula, columns = case

    def value(name: str, t: int) -> bool:
        return bool(eval(PREDICATES[name][0], {}, {"a": columns["a"][t], "b": columns["b"][t]}))

    holds = eval(formula.holds, {"value": value, "t": 0})
    assert Specification.parse(formula.ours).verdict(columns) is (Verdict.PASS if holds else Verdict.FAIL)


@given(formulas_and_traces)
def test_a_formula_and_its_negation_have_opposite_verdicts(case: tuple[Formula, dict[str, FloatArray]]) -> None:
    formula, columns = case
    verdicts = {Specification.parse(text).verdict(columns) for text in (formula.ours, f"not ({formula.ours})")}
    assert verdicts == {Verdict.PASS, Verdict.FAIL}


@given(formulas, st.data())
def test_robustness_never_falls_when_a_margin_rises(formula: Formula, data: st.DataObject) -> None:
    specification = Specification.parse(formula.ours)
    shape = (len(specification.predicates), 20, specification.horizon)
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    margins = rng.normal(size=shape)
    raised = margins + rng.exponential(size=shape) * (rng.random(shape) < 0.3)
    before, after = (specification.robustness_from_margins(list(m)) for m in (margins, raised))
    assert before.shape == (20,)
    assert np.all(after >= before)


@given(formulas_and_traces)
def test_the_conjuncts_together_are_the_specification(case: tuple[Formula, dict[str, FloatArray]]) -> None:
    formula, columns = case
    specification = Specification.parse(formula.ours)
    least = min(float(c.robustness(columns)) for c in specification.conjuncts)
    assert least == float(specification.robustness(columns))
    assert all(Specification.parse(c.text) == c for c in specification.conjuncts)


@given(formulas_and_traces, st.data())
def test_a_missing_value_leads_to_fail_only_if_no_value_could_save_it_and_to_pass_never(
    case: tuple[Formula, dict[str, FloatArray]], data: st.DataObject
) -> None:
    formula, columns = case
    specification = Specification.parse(formula.ours)
    holes = data.draw(st.sets(st.tuples(st.sampled_from(["a", "b"]), st.integers(0, formula.horizon - 1)), min_size=1))
    rest = {name: column.copy() for name, column in columns.items()}
    for name, t in holes:
        rest[name][t] = NAN
    verdict = specification.verdict(rest)
    lower, upper = specification.robustness_bounds(rest)
    assert lower <= float(specification.robustness(columns)) <= upper
    if math.isnan(specification.robustness(rest)):
        assert verdict is (Verdict.FAIL if upper < 0 else Verdict.INCONCLUSIVE)
    else:  # the holes are where the formula does not look
        assert verdict is specification.verdict(columns)
    if verdict is Verdict.FAIL:
        assert specification.verdict(columns) is Verdict.FAIL


PHI = "always[0,4](thp >= 8 and pow <= 95)"


@pytest.mark.parametrize(
    ("thp", "power", "verdict"),
    [
        ([9, 9, 9, 9, 8], [95, 90, 90, 90, 90], Verdict.PASS),
        ([9, 9, 7.9, 9, 9], [90] * 5, Verdict.FAIL),
        ([9, 9, NAN, 9, 9], [90] * 5, Verdict.INCONCLUSIVE),
        ([9, 9, 7, 9, 9], [90, NAN, NAN, NAN, NAN], Verdict.FAIL),
        ([9, 9, 9, 9], [90] * 4, Verdict.INCONCLUSIVE),
        ([9, 9, 1, 9], [90] * 4, Verdict.FAIL),
        ([], [], Verdict.INCONCLUSIVE),
        ([9] * 5 + [0], [90] * 5 + [NAN], Verdict.PASS),
        ([math.inf] * 5, [90] * 5, Verdict.INCONCLUSIVE),
        ([9] * 5, [90, 90, math.inf, 90, 90], Verdict.FAIL),
        ([9] * 5, None, Verdict.INCONCLUSIVE),
        ([9, 9, 9, 9, 7], None, Verdict.FAIL),
    ],
)
def test_missing_and_short_traces_are_inconclusive_unless_they_have_failed_already(
    thp: list[float], power: list[float] | None, verdict: Verdict
) -> None:
    columns = {"thp": thp} if power is None else {"thp": thp, "pow": power}
    assert Specification.parse(PHI).verdict(columns) is verdict


def test_eventually_satisfied_early_is_still_inconclusive_on_a_short_trace() -> None:
    specification = Specification.parse("eventually[0,4](x >= 1)")
    assert specification.verdict({"x": [2.0, NAN, 0.0, 0.0, 0.0]}) is Verdict.INCONCLUSIVE
    lower, upper = specification.robustness_bounds({"x": [2.0]})
    assert (float(lower), float(upper)) == (1.0, math.inf)


def test_each_predicate_is_scaled_by_its_own_threshold() -> None:
    specification = Specification.parse("thp >= 8 and pow <= 95 and late <= 0 and out >= 0.95 * load")
    margins = [
        float(p.margin({"thp": 8.8, "pow": 76.0, "late": 0.25, "out": 9.5, "load": 5.0}))
        for p in specification.predicates
    ]
    assert margins == pytest.approx([0.1, 0.2, -0.25, 1.0])


def test_a_constant_on_the_left_is_the_threshold_all_the_same() -> None:
    assert Specification.parse("8 <= thp") == Specification.parse("thp >= 8")
    assert Specification.parse("8 > thp") == Specification.parse("not thp >= 8")


def test_windows_are_placed_by_sequence_number_so_that_a_lost_window_is_a_gap() -> None:
    rows = np.array([0, 1, 3, 4, 5])
    thp = np.array([9.0, 9.0, 9.0, 9.0, 1.0])
    table = Windows(
        sequence=rows + 100,
        start_s=rows * 15.0,
        end_s=rows * 15.0 + 15,
        run=np.zeros(5, dtype=np.int64),
        controls={},
        metrics={"thp": thp, "pow": np.full(5, 90.0)},
    )
    assert Specification.parse(PHI).verdict(table) is Verdict.INCONCLUSIVE
    assert Specification.parse("always[0,1](thp >= 8)").verdict(table) is Verdict.PASS
    assert Specification.parse("always[0,5](thp >= 8)").verdict(table) is Verdict.FAIL
    assert Specification.parse(PHI).verdict(table.take(slice(0, 0))) is Verdict.INCONCLUSIVE


def test_thousands_of_trajectories_are_evaluated_at_once() -> None:
    conjuncts = [f"{d}_{i} >= 0.95 * load_{d}_{i}" for d in ("dl", "ul") for i in range(1, 5)]
    specification = Specification.parse(f"always[0,4]({' and '.join(conjuncts)} and pow_h1 <= 95 and pow_h2 <= 95)")
    assert len(specification.predicates) == len(specification.conjuncts) == 10
    rng = np.random.default_rng(1)
    columns = {name: rng.uniform(1, 96, (10_000, 5)) for name in sorted(specification.metrics)}
    columns |= {f"load_{d}_{i}": np.full(5, 1.0) for d in ("dl", "ul") for i in range(1, 5)}  # broadcast
    robustness = specification.robustness(columns)
    assert robustness.shape == (10_000,)
    for r in (0, 17, 9_999):
        single = {name: c[r] if c.ndim == 2 else c for name, c in columns.items()}
        assert robustness[r] == specification.robustness(single)


def test_a_repeated_comparison_is_one_predicate() -> None:
    specification = Specification.parse("a >= 1 and (b >= 2 or a>=1) and not a < 1")
    assert [p.text for p in specification.predicates] == ["a >= 1", "b >= 2"]


def test_a_specification_can_be_pickled_and_compares_by_formula() -> None:
    specification = Specification.parse(PHI)
    assert pickle.loads(pickle.dumps(specification)) == specification
    assert Specification.parse(PHI.replace(" ", "  \n").replace("(", "( ")) == specification
    assert Specification.parse(PHI.replace(" ", "  \n").replace("(", "( ")).text == PHI
    assert hash(Specification.parse(PHI)) == hash(specification)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty"),
        ("thp", "column 4: expected one of >=, <=, >, < but found the end"),
        ("thp == 8", "column 5: expected one of >=, <=, >, < but found '=='"),
        ("thp >= 8 && pow <= 9", r"column 10: .* found '&&' \(write 'and'\)"),
        ("thp >= 8 adn pow <= 9", "column 10: expected an operator or the end but found 'adn'"),
        ("always(thp >= 8)", r"column 7: expected windows such as \[0,4\] but found '\('"),
        ("always[4,0](thp >= 8)", r"windows \[4,0\] run backwards, write \[0,4\]"),
        ("always[0,1.5](thp >= 8)", "column 10: expected a whole number of windows but found '1.5'"),
        ("always[-1,4](thp >= 8)", "column 8: expected a whole number of windows but found '-'"),
        ("always[0,4] thp >= 8", r"column 13: expected '\(' but found 'thp'"),
        ("always[0,4](thp)", "column 16: expected one of >=, <=, >, <"),
        ("always[0,99999](thp >= 8)", "looks further ahead than 10000 windows"),
        ("always[0,9999](always[0,9999](thp >= 8))", "looks 19999 windows ahead, at most 10000"),
        ("0 <= thp <= 8", "comparisons do not chain"),
        ("(thp >= 8) + 1 >= 2", "column 1: expected a number or a metric but found a formula"),
        ("thp >= (pow >= 8)", "column 8: expected a number or a metric but found a formula"),
        ("3 >= 2", "a comparison must name a metric"),
        ("thp >= 1/0", "1 / 0 is not a finite number"),
        ("thp >= 8 and", "expected a number, a metric"),
        ("thp >= 8 until pow >= 9", "expected windows such as"),
        ("a >= 1 until[0,1] b >= 1 until[0,1] c >= 1", "until does not chain"),
        ("a >= 1 or b", "expected one of >=, <=, >, < but found the end"),
        ("not " * 100 + "a >= 1", "nested more than 32 levels deep"),
        ("a >= 1 implies " * 100 + "a >= 1", "nested more than 32 levels deep"),
        ("always[0,1](" * 40 + "a >= 1" + ")" * 40, "nested more than 32 levels deep"),
        ("always[0," + "9" * 5000 + "](a >= 1)", "looks further ahead"),
    ],
)
def test_a_wrong_text_is_refused_in_one_line_that_says_where_and_what_was_expected(text: str, said: str) -> None:
    with pytest.raises(InputError, match=said) as caught:
        Specification.parse(text, source="scenario.toml", key="specification.formula")
    assert str(caught.value).startswith("scenario.toml: specification.formula: ")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


WORDS = "always eventually until and or not implies [0,4] [ ] , ( ) a b >= <= < > 1 -2 0.5 + - * / min abs == &"
words = st.sampled_from(sorted(WORDS.split(" ")))


@given(st.lists(words, max_size=25).map(" ".join))
@settings(max_examples=300)
def test_any_text_is_a_specification_or_an_input_error(text: str) -> None:
    with contextlib.suppress(InputError):
        specification = Specification.parse(text)
        assert Specification.parse(specification.formula.render()) == specification


def test_an_unknown_metric_is_refused_with_the_likely_ones() -> None:
    specification = Specification.parse("always[0,4](thp_dl_5 >= 8 and pow_h1 <= 95)")
    with pytest.raises(InputError, match=r"s\.toml: specification: reads metric 'thp_dl_5', .* did you mean thp_dl_1"):
        specification.check({"thp_dl_1", "pow_h1"}, source="s.toml")
    specification.check({"thp_dl_5", "pow_h1", "more"})


def test_columns_of_unequal_length_are_refused_and_not_cut_to_the_shortest() -> None:
    with pytest.raises(InputError, match="trace: thp: column has 4 windows, the others have 5"):
        Specification.parse(PHI).robustness({"thp": np.zeros(4), "pow": np.zeros(5)})
    with pytest.raises(InputError, match="no time axis"):
        Specification.parse(PHI).robustness({"thp": 3.0})
    with pytest.raises(InputError, match=r"a verdict is on one trace, found traces of shape \(3,\)"):
        Specification.parse(PHI).verdict({"thp": np.zeros((3, 5)), "pow": np.zeros((3, 5))})
    with pytest.raises(InputError, match="1 margins for 2 predicates"):
        Specification.parse(PHI).robustness_from_margins([np.zeros(5)])
