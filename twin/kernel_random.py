"""Random numbers inside the kernel: a pure function of a key and of what they are for, with no state to carry along.

So they depend neither on where calls are cut nor on what was drawn before, and two runs with one key share every draw
whatever the controls are. 32-bit mixing in 64-bit integers: the same in plain Python, where nothing wraps.
"""

from __future__ import annotations

from twin.kernel_jit import inlined

__all__ = ["uniform"]


@inlined
def uniform(key: int, slot: int, lane: int) -> float:
    """Return a number in (0, 1) for a key below 2^32, a slot (or packet) number and a lane (UE and direction, say).

    h = mix(slot mod 2^32), then h = mix(h xor ((key + lane * 0x61c88647) mod 2^32)), then (h + 0.5) / 2^32, where
    mix(x) is x ^= x >> 16; x = x * 0x21f0aaad mod 2^32; x ^= x >> 15; x = x * 0x735a2d97 mod 2^32; x ^= x >> 15.
    """
    h = slot & 0xFFFFFFFF
    for turn in range(2):
        if turn == 1:
            h ^= (key + lane * 0x61C88647) & 0xFFFFFFFF
        h ^= h >> 16
        h = (h * 0x21F0AAAD) & 0xFFFFFFFF
        h ^= h >> 15
        h = (h * 0x735A2D97) & 0xFFFFFFFF
        h ^= h >> 15
    return (h + 0.5) / 4294967296.0
