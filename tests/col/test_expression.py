"""Arithmetic over columns."""

from __future__ import annotations

import contextlib
import math
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from col.errors import InputError
from col.expression import Expression

COLUMNS = {"x": np.array([1.0, -2.0, 0.0, 3.5]), "y": np.array([4.0, 0.0, 0.25, -1.0]), "z": np.array(2.0)}

leaves = st.one_of(
    st.sampled_from(["x", "y", "z"]),
    st.integers(0, 20).map(str),
    st.floats(0.001, 1e6, allow_subnormal=False).map(repr),
)
arithmetic = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["+", "-", "*"]), inner).map(" ".join),
        st.tuples(inner, inner).map(lambda p: f"({p[0]}) - ({p[1]})"),
        inner.map(lambda e: f"-({e})"),
        inner.map(lambda e: f"abs({e})"),
        st.tuples(inner, inner).map(lambda p: f"min({p[0]}, {p[1]})"),
        st.tuples(inner, inner, inner).map(lambda p: f"max({p[0]}, {p[1]}, {p[2]})"),
    ),
    max_leaves=12,
)

PYTHON = {"__builtins__": {}, "min": lambda *a: np.minimum.reduce(np.broadcast_arrays(*a)), "abs": np.abs}
PYTHON["max"] = lambda *a: np.maximum.reduce(np.broadcast_arrays(*a))


@given(arithmetic)
def test_an_expression_means_what_python_means_by_the_same_text(text: str) -> None:
    expected = np.zeros(4) + eval(text, PYTHON, dict(COLUMNS))
    np.testing.assert_array_equal(np.zeros(4) + Expression.parse(text).evaluate(COLUMNS), expected)


@given(arithmetic)
def test_the_normal_text_parses_to_the_same_expression(text: str) -> None:
    expression = Expression.parse(text)
    assert Expression.parse(expression.text) == expression
    assert Expression.parse(expression.text).text == expression.text


def test_columns_of_different_shapes_broadcast_and_only_named_ones_are_read() -> None:
    expression = Expression.parse("min(load, cap * load / (load + other))")
    assert expression.names == {"load", "cap", "other"}
    value = expression.evaluate({"load": np.full(5, 10.0), "cap": np.full((3, 1), 12.0), "other": 10.0, "unread": "?"})
    np.testing.assert_array_equal(value, np.full((3, 5), 6.0))


def test_division_by_zero_is_a_missing_value_and_never_an_infinite_one() -> None:
    value = Expression.parse("x / y").evaluate({"x": [1.0, 0.0, -1.0, 6.0], "y": [0.0, 0.0, 0.0, 3.0]})
    np.testing.assert_array_equal(value, [math.nan, math.nan, math.nan, 2.0])


@pytest.mark.parametrize("text", ["x + 1", "x - x", "min(x, 0)", "max(0, x)", "abs(x)", "x * 0"])
def test_missing_stays_missing(text: str) -> None:
    assert np.isnan(Expression.parse(text).evaluate({"x": math.nan}))


def test_a_constant_expression_knows_its_value_and_reads_nothing() -> None:
    assert Expression.parse("-(2 + 3) * 4").constant == -20
    assert Expression.parse("x - x").constant is None
    assert math.isnan(Expression.parse("1 / 0").constant or 0.0)


def test_a_long_sum_is_no_deep_nesting() -> None:
    names = [f"m{i}" for i in range(2000)]
    assert Expression.parse(" + ".join(names)).evaluate(dict.fromkeys(names, 1.0)) == 2000


def test_an_expression_can_be_pickled_and_hashed() -> None:
    expression = Expression.parse("0.95 * load")
    assert pickle.loads(pickle.dumps(expression)) == expression
    assert len({expression, Expression.parse("0.95*load"), Expression.parse("load * 0.95")}) == 2


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty"),
        ("  \n ", "is empty"),
        ("a +", r"column 4: expected a number, a metric or '\(' but found the end"),
        ("a b", "column 3: expected an operator or the end but found 'b'"),
        ("(a + b", r"column 7: expected '\)' but found the end"),
        ("2 ** 3", r"column 4: expected a number, a metric or '\(' but found '\*'"),
        ("__import__('os')", "column 12: expected a number, a name, an operator or a bracket but found"),
        ("exp(a)", "column 1: unknown function 'exp', known are abs, max, min"),
        ("a.real", "column 2: expected a number"),
        ("a[0]", r"column 2: expected an operator or the end but found '\['"),
        ("min(a)", "min takes at least two arguments, found 1"),
        ("abs(a, b)", "abs takes one argument, found 2"),
        ("max()", "expected a number"),
        ("1e999", "1e999 is too large"),
        ("5x", "column 2: expected an operator or the end but found 'x'"),
        ("a >= 5", "column 3: expected an operator or the end but found '>='"),
        ("and", "expected a number, a metric"),
        ("größe", "expected an operator or the end|expected a number"),
        ("a" * 100_001, "has 100001 characters, at most 100000 are read"),
        ("(" * 33 + "a" + ")" * 33, "nested more than 32 levels deep"),
        (5, "must be text"),
    ],
)
def test_a_wrong_text_is_refused_in_one_line_that_says_where_and_what_was_expected(text: str, said: str) -> None:
    with pytest.raises(InputError, match=said) as caught:
        Expression.parse(text, source="scenario.toml", key="derived.thp")
    assert str(caught.value).startswith("scenario.toml: derived.thp")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


@given(st.text(alphabet=st.sampled_from("ab01.e+-*/(),<>=! \n[]&é\x00"), max_size=60))
def test_any_text_is_an_expression_or_an_input_error(text: str) -> None:
    with contextlib.suppress(InputError):
        Expression.parse(text)


def test_columns_that_do_not_fit_are_named() -> None:
    with pytest.raises(InputError, match="no such column: b, c"):
        Expression.parse("a + b * c").evaluate({"a": 1.0})
    with pytest.raises(InputError, match=r"a \(2,\), b \(3,\)"):
        Expression.parse("a + b").evaluate({"a": np.zeros(2), "b": np.zeros(3)})
