"""The radio channel: path loss, shadowing, small-scale fading, gains and power control, down to the SNR of every UE.

Per UE and block of 100 ms, with sums in dB:

* Place. A UE is put at a distance from its own site (uniform over the area between `distance_lower_m` and
  `distance_upper_m`) and walks at `speed_kmh`, with a new random heading every `heading_s`; at the edges of that ring
  it turns round. The sites of a pair of cells are `site_distance_m` apart; a UE has a channel to each.
* Path loss: TR 38.901 table 7.4.1-1 at `carrier_ghz`, UMa or UMi, line of sight with the probability of table 7.4.2-1
  (one uniform number per UE and site decides, so that it lasts while the distance hardly changes).
* Shadowing: AR(1) over the distance walked, correlation exp(-d / d_corr) with sigma and d_corr of tables 7.4.1-1 and
  7.5-6, correlated by `site_correlation` between the two sites (7.4.4).
  Place and shadowing move once a second.
* Fading: complex AR(1) taps at the Doppler of `speed_kmh`, correlation J0(2 pi f_d T) at lag one (a first-order fit,
  Baddour and Beaulieu 2005), Rician with `rician_k_db` in line of sight, Rayleigh otherwise; up and down independent
  (FDD). A block has the mean of its power over samples a coherence time (0.423 / f_d) apart.
* Downlink: SNR = P + (gtx - `tx_reference_db`) - L + F - (-174 + 10 log10(180 kHz n_prb) + `ue_noise_db`), transmit
  power saturating softly at `tx_saturation_dbm`: 1/p_out = 1/p + 1/p_sat in mW.
* Uplink: P = min(`ue_power_dbm`, p0 + 10 log10(n_prb) + alpha L); SNR = P - L + F - (-174 + 10 log10(180 kHz n_prb) +
  NF), noise figure NF = `gnb_noise_db` + 10 log10(1 + 10^((`rx_knee_db` - grx) / 10)): gain helps only as long as the
  noise behind the amplifier counts. If P - L + F + grx exceeds `rx_clip_dbm` the converter clips: a noise-to-signal
  ratio of 10^(excess / 10) - 1 is added. L is path loss with shadowing, F the fading.
* No error vector is perfect: 1/SNR_eff = 1/SNR + 1/10^(`evm_cap_db` / 10), both directions.

Cells are on carriers of their own: no interference. Without a `[channel]` every UE has the SNR that `[radio]` says and
gains do nothing, as with srsRAN's ZeroMQ radio, whose samples no gain touches; with one in that mode, a channel
emulator stands between the ends.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from col.errors import InputError
from twin.path_loss import Site
from twin.strict import limits

__all__ = ["ChannelParameters"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelParameters:
    """What the channel is made of: `[channel]` of a scenario. Deployment and powers are assumptions."""

    site: Site = Site.UMI
    carrier_ghz: float = field(default=1.8, metadata=limits(lower=0.5, upper=7))
    bs_height_m: float = field(default=10.0, metadata=limits(lower=3, upper=150))
    ue_height_m: float = field(default=1.5, metadata=limits(lower=1.1, upper=13))
    distance_lower_m: float = field(default=20.0, metadata=limits(lower=10, upper=5000))
    distance_upper_m: float = field(default=150.0, metadata=limits(lower=10, upper=5000))
    site_distance_m: float = field(default=200.0, metadata=limits(lower=10, upper=5000))
    speed_kmh: float = field(default=3.0, metadata=limits(lower=0, upper=120))
    heading_s: float = field(default=30.0, metadata=limits(lower=1, upper=100_000))
    site_correlation: float = field(default=0.5, metadata=limits(lower=0, upper=1))
    rician_k_db: float = field(default=9.0, metadata=limits(lower=-20, upper=40))
    fading: int = field(default=1)
    """0 leaves small-scale fading out."""
    gnb_power_dbm: float = field(default=24.0, metadata=limits(lower=-60, upper=60))
    """Transmit power over the carrier at `tx_reference_db`, saturation aside."""
    tx_reference_db: float = field(default=30.0, metadata=limits(lower=-100, upper=200))
    """Transmit gain at which that power is sent, and in force until another one is set."""
    tx_saturation_dbm: float = field(default=30.0, metadata=limits(lower=-60, upper=80))
    ue_noise_db: float = field(default=9.0, metadata=limits(lower=0, upper=30))
    ue_power_dbm: float = field(default=23.0, metadata=limits(lower=-40, upper=40))
    p0_dbm: float = field(default=-88.0, metadata=limits(lower=-202, upper=24))
    """Target power per PRB at the receiver, for full path loss compensation (TS 38.213, 7.1.1)."""
    alpha: float = field(default=1.0, metadata=limits(lower=0, upper=1))
    gnb_noise_db: float = field(default=5.0, metadata=limits(lower=0, upper=30))
    rx_reference_db: float = field(default=25.0, metadata=limits(lower=-100, upper=200))
    """Receive gain in force until another one is set."""
    rx_knee_db: float = field(default=10.0, metadata=limits(lower=-100, upper=200))
    """Receive gain at which the noise behind the amplifier is as large as that before it."""
    rx_clip_dbm: float = field(default=-35.0, metadata=limits(lower=-200, upper=100))
    """Power behind the amplifier at which the converter is full."""
    evm_cap_db: float = field(default=32.0, metadata=limits(lower=0, upper=80))
    n_prb: int = 25
    """Carrier that noise and uplink power are counted over: the spectral density is kept when a bandwidth changes."""

    def __post_init__(self) -> None:
        if not self.distance_lower_m < self.distance_upper_m:
            raise InputError(
                f"must be below distance_upper_m ({self.distance_upper_m:g})",
                key="distance_lower_m",
                value=self.distance_lower_m,
            )
        if self.fading not in (0, 1):
            raise InputError("must be 0 or 1", key="fading", value=self.fading)
        if not 1 <= self.n_prb <= 275:
            raise InputError("must lie in 1 to 275", key="n_prb", value=self.n_prb)
        numbers = (value for value in (getattr(self, name) for name in self.__slots__) if isinstance(value, float))
        if not all(math.isfinite(value) for value in numbers):
            raise InputError("must be made of finite numbers", key="channel")
