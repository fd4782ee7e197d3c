"""The channel of every UE slot over time: where its UE is, what is in the way, how it fades (see `twin.channel`)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter
from scipy.special import j0

from col.errors import InputError
from twin.channel import ChannelParameters
from twin.link_budget import downlink_snr_db, uplink_snr_db
from twin.path_loss import SHADOWING, line_of_sight_probability, path_loss_db
from twin.slow_noise import SLOW_BLOCK_MS
from twin.streams import Streams

__all__ = ["Channel"]

FloatArray = NDArray[np.float64]

_STEP_BLOCKS = 1000 // SLOW_BLOCK_MS
"""Place and shadowing move once a second."""
_MOST_SLOTS = 64


class Channel:
    """The channels of all UE slots of all cells, `slots` to a cell, each to both sites of its cell's pair.

    `pairs` are rows of cells; a cell in none stands alone. A slot has a channel whether a UE is attached or not, and
    chance is drawn for all of them, from streams of each cell's own: a run does not depend on who is attached where.
    """

    def __init__(
        self,
        parameters: ChannelParameters,
        streams: Streams,
        *,
        cells: int,
        slots: int,
        pairs: Sequence[tuple[int, int]] = (),
    ) -> None:
        self.parameters = parameters
        self._streams = streams
        self._site = np.zeros(cells, dtype=np.int64)
        self._mate = np.full(cells, -1)
        for first, second in pairs:
            for cell, other in ((first, second), (second, first)):
                if not 0 <= cell < cells or self._mate[cell] >= 0 or first == second:
                    raise InputError("must be rows of cells, each in one pair", key="pairs", value=(first, second))
                self._mate[cell] = other
            self._site[second] = 1
        shape = (cells, slots)
        self._xy = np.zeros((*shape, 2))
        self._heading = np.zeros(shape)
        self._los_draw = np.zeros((*shape, 2))
        self._shadow = np.zeros((*shape, 2))
        self._gains = np.tile([parameters.tx_reference_db, parameters.rx_reference_db], (cells, 1))
        self._places: dict[tuple[int, int], np.random.Generator] = {}
        for cell in range(cells):
            for slot in range(slots):
                self.place(cell, slot)
        self._walks = [streams.generator("channel_walk", cell) for cell in range(cells)]
        self._fades = [streams.generator("channel_fading", cell) for cell in range(cells)]
        doppler_hz = parameters.speed_kmh / 3.6 * parameters.carrier_ghz * 1e9 / 3.0e8
        block_s = SLOW_BLOCK_MS / 1000.0
        self._looks = max(1, int(np.ceil(block_s * doppler_hz / 0.423))) if parameters.fading else 1
        self._rho = max(0.0, float(j0(2.0 * np.pi * doppler_hz * block_s / self._looks)))
        self._tap = np.stack([self._normal(rng, slots)[0] for rng in self._fades])  # (g, 2, u) complex
        self._next = 0
        self._loss = np.zeros((0, *shape, 2))
        self._los = np.zeros((0, *shape, 2), dtype=bool)
        self._fade = np.zeros((0, 2, *shape, self._looks), dtype=np.complex128)

    def place(self, cell: int, slot: int) -> None:
        """Put a new UE somewhere in a cell."""
        key = (cell, slot)
        if key not in self._places:
            self._places[key] = self._streams.generator("channel_place", cell * _MOST_SLOTS + slot)
        rng, p = self._places[key], self.parameters
        area, angle, heading, *los = rng.uniform(size=5)
        distance = np.sqrt(p.distance_lower_m**2 + area * (p.distance_upper_m**2 - p.distance_lower_m**2))
        self._xy[key] = self._site_xy(cell) + distance * np.array(
            [np.cos(2 * np.pi * angle), np.sin(2 * np.pi * angle)]
        )
        self._heading[key] = 2.0 * np.pi * heading
        self._los_draw[key] = los
        self._shadow[key] = self._correlated(rng.standard_normal(2))

    def move(self, from_cell: int, slot: int, to_cell: int, to_slot: int) -> None:
        """Let a UE go over to another cell: in a pair it stays where it is, elsewhere it is put anew.

        The slot that it leaves keeps its channel for whoever comes next, until `place`.
        """
        if self._mate[from_cell] != to_cell:
            self.place(to_cell, to_slot)
            return
        for array in (self._xy, self._heading, self._los_draw, self._shadow):
            array[to_cell, to_slot] = array[from_cell, slot]
        for kept in (self._loss, self._los):
            kept[:, to_cell, to_slot] = kept[:, from_cell, slot]

    def set_gains(self, cell: int, *, tx_db: float | None = None, rx_db: float | None = None) -> None:
        """Set the gains of a gNB."""
        for column, gain in enumerate((tx_db, rx_db)):
            if gain is not None:
                if not -200.0 <= gain <= 200.0:
                    raise InputError("must lie in -200 to 200 dB", key="gain", value=gain)
                self._gains[cell, column] = gain

    def losses_db(self) -> FloatArray:
        """Return the loss now, path loss and shadowing, of every slot, shape (g, slots, 2).

        First to the own site, then to the other one of the pair, infinite where the cell stands alone. Without fading,
        as measurements for a handover are filtered.
        """
        loss, _ = self._large_scale()
        cells = np.arange(len(self._site))
        out = np.stack([loss[cells, :, self._site], loss[cells, :, 1 - self._site]], axis=-1)
        out[self._mate < 0, :, 1] = np.inf
        return out

    def blocks(self, first: int, last: int) -> FloatArray:
        """Return the SNR [dB] of blocks `first` (never going back) to `last`, shape (2, g, slots, blocks).

        Gains and moves count from the next call on. The values do not depend on how the blocks are asked for.
        """
        fresh = last + 1 - self._next
        if fresh > 0:
            large: list[tuple[FloatArray, NDArray[np.bool_]]] = []
            for block in range(self._next, last + 1):
                if block % _STEP_BLOCKS == 0 and block > 0:
                    self._walk(large[-1][1] if large else self._large_scale()[1])
                if not large or block % _STEP_BLOCKS == 0:
                    now = self._large_scale()
                large.append(now)
            self._loss = np.concatenate([self._loss, np.stack([loss for loss, _ in large])])
            self._los = np.concatenate([self._los, np.stack([los for _, los in large])])
            self._fade = np.concatenate([self._fade, self._diffuse(fresh)])
            self._next += fresh
        drop = len(self._loss) - (self._next - first)
        self._loss, self._los, self._fade = self._loss[drop:], self._los[drop:], self._fade[drop:]
        count = last - first + 1
        cells = np.arange(len(self._site))
        loss, los = self._loss[:count, cells, :, self._site], self._los[:count, cells, :, self._site]  # (g, blocks, u)
        p, gains = self.parameters, self._gains[:, :, None, None]
        fade = np.moveaxis(self._fade[:count], 0, 2)  # (2, g, blocks, u, looks)
        if p.fading:
            k = np.where(los, 10.0 ** (p.rician_k_db / 10.0), 0.0)[..., None]
            taps = np.sqrt(k / (k + 1.0)) + np.sqrt(1.0 / (k + 1.0)) * fade
            fading_db = 10.0 * np.log10(np.maximum((taps.real**2 + taps.imag**2).mean(axis=-1), 1e-6))
        else:
            fading_db = np.zeros((2, *loss.shape))
        out = np.stack(
            [downlink_snr_db(p, loss, fading_db[0], gains[:, 0]), uplink_snr_db(p, loss, fading_db[1], gains[:, 1])]
        )
        return np.ascontiguousarray(np.swapaxes(out, 2, 3))

    def _site_xy(self, cell: int) -> FloatArray:
        return np.array([self._site[cell] * self.parameters.site_distance_m, 0.0])

    def _correlated(self, normal: FloatArray) -> FloatArray:
        """Return pairs of unit normals, last axis, correlated as the shadowing of two sites is."""
        rho = self.parameters.site_correlation
        out = normal.copy()
        out[..., 1] = rho * normal[..., 0] + np.sqrt(1.0 - rho * rho) * normal[..., 1]
        return out

    def _large_scale(self) -> tuple[FloatArray, NDArray[np.bool_]]:
        """Return loss [dB] and line of sight to both sites, shapes (g, slots, 2)."""
        p = self.parameters
        distance = np.empty_like(self._xy)
        np.hypot(self._xy[..., 0], self._xy[..., 1], out=distance[..., 0])
        np.hypot(self._xy[..., 0] - p.site_distance_m, self._xy[..., 1], out=distance[..., 1])
        los = self._los_draw < line_of_sight_probability(p.site, distance)
        loss = path_loss_db(
            p.site,
            distance,
            carrier_ghz=p.carrier_ghz,
            bs_height_m=p.bs_height_m,
            ue_height_m=p.ue_height_m,
            los=los,
        )
        sd = np.where(los, SHADOWING[p.site].sd_db[1], SHADOWING[p.site].sd_db[0])
        return loss + sd * self._shadow, los

    def _walk(self, los: NDArray[np.bool_]) -> None:
        """Let a second pass for places and shadowing, which decorrelates as the line of sight before says."""
        p = self.parameters
        slots = self._heading.shape[1]
        turn, normal = np.empty_like(self._xy), np.empty_like(self._xy)
        for cell, rng in enumerate(self._walks):
            turn[cell], normal[cell] = rng.uniform(size=(slots, 2)), rng.standard_normal((slots, 2))
        self._heading = np.where(turn[..., 0] < 1.0 / p.heading_s, 2.0 * np.pi * turn[..., 1], self._heading)
        step = p.speed_kmh / 3.6
        x, y = self._xy[..., 0] - (self._site * p.site_distance_m)[:, None], self._xy[..., 1]
        distance, outward = np.hypot(x, y), np.arctan2(y, x)
        self._heading = np.where(distance > p.distance_upper_m, outward + np.pi, self._heading)
        self._heading = np.where(distance < p.distance_lower_m, outward, self._heading)
        self._xy[..., 0] += step * np.cos(self._heading)
        self._xy[..., 1] += step * np.sin(self._heading)
        reach = np.where(los, SHADOWING[p.site].distance_m[1], SHADOWING[p.site].distance_m[0])
        rho = np.exp(-step / reach)
        self._shadow = rho * self._shadow + np.sqrt(1.0 - rho * rho) * self._correlated(normal)

    def _normal(self, rng: np.random.Generator, slots: int, looks: int = 1) -> NDArray[np.complex128]:
        """Return circular complex normals of unit power, shape (looks, 2, slots)."""
        draw = rng.standard_normal((looks, 2, slots, 2)) * np.sqrt(0.5)
        out: NDArray[np.complex128] = draw[..., 0] + 1j * draw[..., 1]
        return out

    def _diffuse(self, blocks: int) -> NDArray[np.complex128]:
        """Return the taps without line of sight of the next blocks, shape (blocks, 2, g, slots, looks)."""
        cells, slots = self._heading.shape
        if not self.parameters.fading:
            return np.zeros((blocks, 2, cells, slots, self._looks), dtype=np.complex128)
        looks, rho = blocks * self._looks, self._rho
        fresh = np.stack([self._normal(rng, slots, looks) for rng in self._fades], axis=2)  # (looks, 2, g, u)
        before = np.moveaxis(self._tap, 0, 1)
        taps, _ = lfilter(
            [np.sqrt(1.0 - rho * rho)], [1.0, -rho], fresh, axis=0, zi=(rho * before)[None].astype(np.complex128)
        )
        self._tap = np.moveaxis(taps[-1], 0, 1)
        return np.moveaxis(taps.reshape(blocks, self._looks, 2, cells, slots), 1, -1)
