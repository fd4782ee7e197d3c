"""Specifications: signal temporal logic over windows of metrics, with three verdicts.

Example: `always[0,4](thp_dl_1 >= 0.95 * load_dl_1 and pow_h1 <= 95)`. Window 0 is the first one watched; the last index
of the example is 4, so its horizon is 5 windows. Every comparison is scaled by its own threshold (`Predicate.margin`),
so that Mbit/s and W can meet in one minimum; the robustness is the least margin, as a share of a threshold.

Missing values. A value is missing where a metric is NaN, absent, or the trace ends before the horizon. A pass needs
every value that the formula reads; a failure needs only enough of them: it is definite as soon as no values of the
missing ones could mend it. So one missing metric beside a failed conjunct is a failure, a prefix that cannot be saved
has failed already (early falsification), and everything else with a gap is inconclusive, also where `eventually` has
been satisfied already.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
from numpy.typing import ArrayLike, NDArray

from col.errors import InputError
from col.formula import Formula, Predicate
from col.formula_parser import FormulaParser
from col.plant import Windows

__all__ = ["Predicate", "Specification", "Verdict"]

FloatArray = NDArray[np.float64]


class Verdict(StrEnum):
    """What a trace says of a specification."""

    PASS = "pass"
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True, slots=True)
class Specification:
    """A formula read at window 0. Two specifications are equal where their formulas are, whatever their layout."""

    formula: Formula = field(repr=False)
    text: str = field(compare=False)
    predicates: tuple[Predicate, ...] = field(compare=False, repr=False)
    """Its different comparisons in the order of the text, negations already pushed into them."""
    horizon: int = field(compare=False)
    """The windows that a verdict needs: the last index plus one."""

    @classmethod
    def parse(cls, text: str, *, source: str = "", key: str = "specification") -> Specification:
        """Read a specification; `source` and `key` name its place for error messages.

        Raises:
            InputError: not a specification, too long, too deep or with too long a horizon; one line with the column.
        """
        formula = FormulaParser(text, source=source, key=key).parse()
        return cls._of(formula, " ".join(text.split()).replace("( ", "(").replace(" )", ")"))

    @classmethod
    def _of(cls, formula: Formula, text: str) -> Specification:
        return cls(formula, text, tuple(dict.fromkeys(formula.predicates())), formula.horizon)

    @property
    def metrics(self) -> frozenset[str]:
        """The metrics that the specification reads."""
        return frozenset[str]().union(*(p.metrics for p in self.predicates))

    @property
    def conjuncts(self) -> tuple[Specification, ...]:
        """Specifications that all hold exactly where this one does; the least of their robustnesses is this one's."""
        return tuple(self._of(f, f.render()) for f in dict.fromkeys(self.formula.conjuncts()))

    def check(self, known: Collection[str], *, source: str = "", key: str = "specification") -> None:
        """Raise InputError unless every metric that the specification reads is among the `known`."""
        for name in sorted(self.metrics - set(known)):
            similar = difflib.get_close_matches(name, sorted(known), n=3)
            listed = similar or [*sorted(known)[:8], *(["..."] if len(known) > 8 else [])]
            hint = f"did you mean {' or '.join(similar)}?" if similar else f"known are {', '.join(listed)}"
            raise InputError(f"reads metric {name!r}, which does not exist: {hint}", source=source, key=key)

    def robustness(self, columns: Mapping[str, ArrayLike]) -> FloatArray:
        """Return the robustness at window 0 of traces with shape (..., t), as shape (...); >= 0 passes.

        NaN is inconclusive: a value that the formula reads is missing, or t < horizon. Windows behind the horizon are
        not read.

        Raises:
            InputError: columns of different lengths or of shapes that do not broadcast.
        """
        return self.robustness_from_margins(self._margins(columns))

    def robustness_from_margins(self, margins: Sequence[ArrayLike]) -> FloatArray:
        """Return the robustness at window 0, shape (...), from the margins of `predicates`, shape (..., t) each.

        It never falls when a margin rises, so margins that are lower bounds give a lower bound. NaN as in `robustness`.
        """
        if len(margins) != len(self.predicates):
            raise InputError(f"{len(margins)} margins for {len(self.predicates)} predicates", key=self.text[:60])
        arrays = [np.asarray(m, dtype=np.float64) for m in margins]
        for array in arrays:
            if array.ndim == 0 or array.shape[-1] != arrays[0].shape[-1]:
                raise InputError("margins must have one time axis of equal length", key=self.text[:60])
        if arrays[0].shape[-1] < self.horizon:
            return np.full(np.broadcast_shapes(*(a.shape[:-1] for a in arrays)), np.nan)
        return np.asarray(self.formula.evaluate(dict(zip(self.predicates, arrays, strict=True)), 0, 1)[..., 0])

    def robustness_bounds(self, columns: Mapping[str, ArrayLike]) -> tuple[FloatArray, FloatArray]:
        """Return the least and the greatest robustness, shape (...) each, that the missing values still allow.

        They are equal where nothing is missing. upper < 0 is a definite failure: use it on a growing prefix to stop a
        trial early (after Deshmukh et al., Robust online monitoring of signal temporal logic, 2017).
        """
        margins = self._margins(columns)
        lower = self.robustness_from_margins([np.where(np.isnan(m), -np.inf, m) for m in margins])
        upper = self.robustness_from_margins([np.where(np.isnan(m), np.inf, m) for m in margins])
        return lower, upper

    def verdict(self, windows: Windows | Mapping[str, ArrayLike]) -> Verdict:
        """Return the verdict on one trace: pass only if nothing is missing, fail if nothing could save it.

        Of `Windows`, rows are placed by sequence number, so that a lost window is a gap and not a shorter trace.
        """
        columns = self._columns(windows) if isinstance(windows, Windows) else windows
        robustness = self.robustness(columns)
        if robustness.ndim:
            raise InputError(f"a verdict is on one trace, found traces of shape {robustness.shape}", key=self.text[:60])
        if robustness >= 0:
            return Verdict.PASS
        return Verdict.FAIL if self.robustness_bounds(columns)[1] < 0 else Verdict.INCONCLUSIVE

    def _columns(self, windows: Windows) -> dict[str, FloatArray]:
        offset = windows.sequence - (windows.sequence[0] if len(windows) else 0)
        rows = offset < self.horizon
        columns = {}
        for name in self.metrics & windows.metrics.keys():
            columns[name] = np.full(self.horizon, np.nan)
            columns[name][offset[rows]] = windows.metrics[name][rows]
        return columns

    def _margins(self, columns: Mapping[str, ArrayLike]) -> list[FloatArray]:
        """Return the margins of the predicates, shape (..., horizon) each, NaN where a value is missing."""
        arrays: dict[str, FloatArray] = {}
        length: int | None = None
        for name in sorted(self.metrics & columns.keys()):
            array = np.asarray(columns[name], dtype=np.float64)
            if array.ndim == 0:
                raise InputError("column has no time axis", source="trace", key=name)
            if length is not None and array.shape[-1] != length:
                raise InputError(
                    f"column has {array.shape[-1]} windows, the others have {length}", source="trace", key=name
                )
            length = array.shape[-1]
            short = self.horizon - length
            if short > 0:
                array = np.concatenate([array, np.full((*array.shape[:-1], short), np.nan)], axis=-1)
            arrays[name] = array[..., : self.horizon]
        absent = np.full(self.horizon, np.nan)
        return [p.margin({name: arrays.get(name, absent) for name in p.metrics}) for p in self.predicates]
