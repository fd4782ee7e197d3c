"""Three kinds of synthetic plants, drawn at random; `synthetic` says what each is for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.col.synthetic_plant import SyntheticLeaf, SyntheticPlant

__all__ = ["rough", "service", "station"]

FloatArray = NDArray[np.float64]


def _common(rng: np.random.Generator, d: int) -> dict[str, Any]:
    low = rng.uniform(0.0, 1.0, d)
    return {
        "low": low,
        "high": low + rng.uniform(0.5, 4.0, d),
        "horizon": int(rng.integers(3, 9)),
        "shared": float(rng.choice([0.0, 0.3])),
        "seed": 0,
    }


def _varying(rng: np.random.Generator, controls: tuple[int, ...]) -> Callable[[FloatArray], FloatArray]:
    """Noise that differs by a factor of up to about 2.5 over the box."""
    j, tilt = int(rng.choice(controls)), float(rng.choice([0.0, rng.uniform(-0.9, 0.9)]))
    return lambda x: np.exp(tilt * (x[:, j] - 0.5))


def station(rng: np.random.Generator, d: int) -> SyntheticPlant:
    """Stations of two stages; delivered = min(offered, what each stage carries)."""
    common = _common(rng, d)
    stations = d // 2
    leaves: list[SyntheticLeaf] = []
    derived: dict[str, tuple[str, tuple[int, ...]]] = {}
    need = np.empty(d)
    for s in range(stations):
        for stage in range(2):
            j = 2 * s + stage
            need[j] = rng.uniform(0.2, 0.5)
            power, drag, soft = rng.uniform(0.7, 1.6), rng.uniform(0.1, 0.5), rng.uniform(0.02, 0.08)

            def effect(x: FloatArray, load: FloatArray, j=j, s=s, power=power, drag=drag, soft=soft) -> FloatArray:
                share = np.log((x[:, j] + soft) / (need[j] + soft)) * power
                return np.log(9.5) + share - drag * (load[:, s] - 1.0)

            leaves.append(
                SyntheticLeaf(
                    name=f"carry{s}{'ab'[stage]}",
                    effect=effect,
                    controls=(j,),
                    loads=(s,),
                    sign=1,
                    threshold=float(np.log(9.5)),
                    run=float(rng.uniform(0.015, 0.05)),
                    window=float(rng.uniform(0.005, 0.03)),
                    rho=float(rng.uniform(0.0, 0.6)),
                    logarithmic=True,
                    noise_scale=_varying(rng, (j,)),
                )
            )
        derived[f"served{s}"] = (f"min(load{s}, carry{s}a, carry{s}b)", (2 * s, 2 * s + 1))
    gain, dither = rng.uniform(1.1, 1.3), rng.uniform(0.03, 0.08)

    def autoscale(loads: FloatArray, rng: np.random.Generator) -> FloatArray:
        wanted = np.repeat(loads, 2, axis=1) * need * gain + 0.1
        return wanted + dither * rng.standard_normal(wanted.shape)

    scaled_reference = np.minimum(need + 0.45, 0.95)
    return SyntheticPlant(
        leaves=tuple(leaves),
        loads=stations,
        reference=common["low"] + scaled_reference * (common["high"] - common["low"]),
        operating=np.ones(stations),
        autoscale=autoscale,
        derived=derived,
        **common,
    )


def service(rng: np.random.Generator, d: int) -> SyntheticPlant:
    """Pairs of controls: a delay with a knee and interaction, a quality with an optimum; one bill over all controls."""
    common = _common(rng, d)
    pairs = d // 2
    leaves: list[SyntheticLeaf] = []
    knees = rng.uniform(0.15, 0.45, pairs)
    for s in range(pairs):
        a, b = 2 * s, 2 * s + 1
        width, mix, cross = rng.uniform(0.08, 0.2), rng.uniform(0.2, 0.8), rng.uniform(-0.4, 0.4)
        drag = rng.uniform(0.05, 0.3)

        def delay(
            x: FloatArray, load: FloatArray, a=a, b=b, s=s, width=width, mix=mix, cross=cross, drag=drag
        ) -> FloatArray:
            strength = mix * x[:, a] + (1 - mix) * x[:, b] + cross * x[:, a] * x[:, b]
            return 1.0 + 4.0 * width * np.logaddexp(0.0, (knees[s] + drag * (load[:, s] - 0.7) - strength) / width)

        best, drift, curve = rng.uniform(0.4, 0.7), rng.uniform(-0.15, 0.15), rng.uniform(2.0, 5.0)

        def quality(x: FloatArray, load: FloatArray, a=a, s=s, best=best, drift=drift, curve=curve) -> FloatArray:
            return 10.0 - curve * (x[:, a] - best - drift * (load[:, s] - 0.7)) ** 2

        spread = float(rng.uniform(0.02, 0.06))
        leaves += [
            SyntheticLeaf(
                name=f"delay{s}",
                effect=delay,
                controls=(a, b),
                loads=(s,),
                sign=-1,
                threshold=float(1.0 + 4.0 * width * rng.uniform(0.5, 1.0)),
                run=spread,
                window=float(rng.uniform(0.01, 0.05)),
                rho=float(rng.uniform(0.0, 0.6)),
                noise_scale=_varying(rng, (a, b)),
            ),
            SyntheticLeaf(
                name=f"quality{s}",
                effect=quality,
                controls=(a,),
                loads=(s,),
                sign=1,
                threshold=float(10.0 - curve * rng.uniform(0.08, 0.2)),
                run=float(rng.uniform(0.01, 0.05)),
                window=float(rng.uniform(0.01, 0.05)),
                rho=float(rng.uniform(0.0, 0.6)),
                noise_scale=_varying(rng, (a,)),
            ),
        ]
    price, surge = rng.uniform(0.5, 2.0, d), rng.uniform(0.2, 1.0, pairs)

    def bill(x: FloatArray, load: FloatArray) -> FloatArray:
        return 20.0 + x @ price + load[:, :pairs] @ surge

    leaves.append(
        SyntheticLeaf(
            name="bill",
            effect=bill,
            controls=tuple(range(d)),
            loads=tuple(range(pairs)),
            sign=-1,
            threshold=float(20.0 + price.sum() * rng.uniform(0.6, 0.85) + 0.7 * surge.sum()),
            run=float(rng.uniform(0.02, 0.08)),
            window=float(rng.uniform(0.02, 0.05)),
            rho=0.2,
        )
    )
    middle, gain, dither = rng.uniform(0.4, 0.6, d), rng.uniform(0.3, 0.6, d), rng.uniform(0.04, 0.1)

    def autoscale(loads: FloatArray, rng: np.random.Generator) -> FloatArray:
        wanted = middle + gain * (np.repeat(loads, 2, axis=1) - 0.5)
        return wanted + dither * rng.standard_normal(wanted.shape)

    x = np.random.default_rng(0).uniform(0.1, 0.9, size=(3000, d))
    load = np.full((len(x), pairs), 0.7)
    slack = np.min([le.sign * (le.effect(x, load) - le.threshold) / le.run for le in leaves], axis=0)
    return SyntheticPlant(
        leaves=tuple(leaves),
        loads=pairs,
        reference=common["low"] + x[int(np.argmax(slack))] * (common["high"] - common["low"]),
        operating=np.full(pairs, 0.7),
        autoscale=autoscale,
        **common,
    )


def rough(rng: np.random.Generator, d: int) -> SyntheticPlant:
    """Random smooth functions, one for each control or pair, above a threshold around a known good point."""
    common = _common(rng, d)
    groups: list[tuple[int, ...]] = []
    j = 0
    while j < d:
        size = min(int(rng.integers(1, 3)), d - j)
        groups.append(tuple(range(j, j + size)))
        j += size
    good = rng.uniform(0.3, 0.7, d)
    leaves: list[SyntheticLeaf] = []
    for k, group in enumerate(groups):
        length = rng.uniform(0.3, 0.7)
        frequencies = rng.standard_normal((60, len(group) + 1)) / length
        frequencies[:, -1] = rng.standard_normal(60) / 1.2
        phases, amplitudes = rng.uniform(0, 2 * np.pi, 60), rng.standard_normal(60) / np.sqrt(30)
        bowl = rng.uniform(2.0, 6.0)

        def effect(
            x: FloatArray, load: FloatArray, k=k, group=group, w=frequencies, p=phases, a=amplitudes, bowl=bowl
        ) -> FloatArray:
            z = np.column_stack([x[:, list(group)], load[:, k]])
            return np.cos(z @ w.T + p) @ a - bowl * ((x[:, list(group)] - good[list(group)]) ** 2).sum(1)

        at_good = float(effect(good[None], np.full((1, len(groups)), 0.6))[0])
        leaves.append(
            SyntheticLeaf(
                name=f"figure{k}",
                effect=effect,
                controls=group,
                loads=(k,),
                sign=1,
                threshold=at_good - float(rng.uniform(0.3, 0.9)),
                run=float(rng.uniform(0.02, 0.08)),
                window=float(rng.uniform(0.02, 0.08)),
                rho=float(rng.uniform(0.0, 0.6)),
                noise_scale=_varying(rng, group),
            )
        )
    owner = np.array([k for k, group in enumerate(groups) for _ in group])
    gain, dither = rng.uniform(-0.5, 0.5, d), rng.uniform(0.05, 0.1)

    def autoscale(loads: FloatArray, rng: np.random.Generator) -> FloatArray:
        wanted = good + gain * (loads[:, owner] - 0.5)
        return wanted + dither * rng.standard_normal(wanted.shape)

    return SyntheticPlant(
        leaves=tuple(leaves),
        loads=len(groups),
        reference=common["low"] + good * (common["high"] - common["low"]),
        operating=np.full(len(groups), 0.6),
        autoscale=autoscale,
        **common,
    )
