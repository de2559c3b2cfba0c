"""The synthetic default: a generator calibrated to what EPOPR publishes about Tallahassee in 2018
(docs/data.md).

Regions, incomes, context and a one-year log of repairs come from one seed. Three draws decide the published
figures: the field of incomes, the field of repair times and the noise of the status-quo order. Each is drawn
many times over, and the draw nearest to the published figures is kept. All figures are rounded before use,
so that the last bits of `exp` or of a matrix factorisation, which differ between processors, do not reach
the city.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stormgym.envs.arrays import Floats, Ints
from stormgym.envs.data.assemble import default_group_names, terciles
from stormgym.envs.data.city_fields import (
    DEFAULT_COST_LIMIT_H,
    DEFAULT_DETOUR,
    DEFAULT_SEED,
    DEFAULT_SPEED_KMH,
    CityFields,
    straight_km,
)
from stormgym.envs.data.orders import nearest_order, tsp_open_order
from stormgym.envs.data.repair_log import RepairLog
from stormgym.envs.equity import gap

MIN_REGIONS, MAX_REGIONS = 3, 200
CANDIDATES, STATUS_QUO_CANDIDATES = 64, 512

# Aims at 55 regions: mean outage (h) and gap (h) by order, see the table in docs/data.md.
AIM_MEAN_H = {"status_quo": 57.4, "nearest": 53.0, "tsp_open": 49.4}
AIM_GAP_H = {"status_quo": 17.4, "nearest": 17.0, "tsp_open": 11.0}
AIM_WITHIN_48_H, AIM_AFTER_96_H = 0.40, 0.12  # shares of regions under the status quo
AIM_FEW_REQUESTS, AIM_INCOME_PEARSON = (
    0.342,
    -0.61,
)  # longer wait of regions with few requests; income and outage
FEW_REQUESTS, INCOME_BINS = 10, 7

BOX_KM = np.array([20.0, 18.0])
CORE_KM = np.array([9.0, 7.5])
CORE_SHARE, CORE_SD_KM, MIN_APART_KM = 0.6, 5.0, 1.0
DEPOT_KM = np.array([5.0, 4.5])  # in the poor south-west

TYPICAL_INCOME_USD, INCOME_LOG_SD = 52_000.0, 0.45
INCOME_GRADIENT, INCOME_FIELD, INCOME_NUGGET = 0.4, 0.4, 0.75  # weights before standardising
INCOME_LENGTH_KM = 2.0

MEAN_REPAIR_H, REGION_LOG_SD = 1.72, 0.24
REPAIR_INCOME = -0.55
MIN_REPAIR_H = 0.1
REPAIR_CORE, REPAIR_CANOPY, REPAIR_FIELD = -0.65, 0.24, 0.6  # weights before standardising
REPAIR_LENGTH_KM = 2.5
NOISE_LOG_SD, NOISE_INCOME, NOISE_JITTER = 0.42, -0.35, 0.25
NOISE_RANGE = (0.18, 0.95)
DAMAGE_SHARE, DAMAGE_FACTOR = np.array([0.50, 0.35, 0.15]), np.array([0.75, 1.1, 1.6])
NIGHT_SHARE, NIGHT_FACTOR = 0.35, 1.15

QUIET_REQUESTS, STORM_REQUESTS = 24.0, 15.0
REQUEST_INCOME, REQUEST_CUSTOMERS, REQUEST_JITTER = 0.62, 0.25, 0.22
MIN_QUIET_REQUESTS, MIN_STORM_REQUESTS = 3, 1
STATUS_QUO_EXPONENT = 0.4

YEAR_START, STORM_START = np.datetime64("2018-01-01T00:00"), np.datetime64("2018-10-10T14:00")
QUIET_HOUR_WEIGHT = np.repeat([1.0, 3.0, 2.0], [6, 14, 4])  # requests by hour of day

MOST_INCOME_EFFECT = 1_000.0
"""Far beyond it (as calibrated: 1) the hours of the poorest region are no number any more."""


@dataclass(frozen=True, kw_only=True)
class Character:
    """What kind of city the generator makes; as it stands, one like Tallahassee in 2018."""

    mean_repair_h: float = MEAN_REPAIR_H
    """Mean of the regions' mean repair times (h)."""
    region_log_sd: float = REGION_LOG_SD
    """Log standard deviation of the regions' levels."""
    repair_income: float = REPAIR_INCOME
    """Correlation of a region's log level with its log income, in (-1, 1)."""
    noise_log_sd: float = NOISE_LOG_SD
    """Log standard deviation of the repairs of a region of middling income: how skewed durations are."""
    noise_range: tuple[float, float] = NOISE_RANGE
    """Least and most of it in any region."""
    queue: float = 0.0
    """Exponent with which repairs lengthen with the requests of the last day, as waits in a queue do."""
    income_weights: tuple[float, float, float] = (INCOME_GRADIENT, INCOME_FIELD, INCOME_NUGGET)
    """Of a gradient over the city, of neighbourhoods and of chance: how far apart income groups live."""
    income_length_km: float = INCOME_LENGTH_KM
    """Size of neighbourhoods (km)."""
    speed_kmh: float = DEFAULT_SPEED_KMH
    """Of the crew (km/h): how much of its time is travel."""
    records: float = 1.0
    """Factor of the number of quiet requests, whose repairs make up most of the log."""
    calibrated: bool = True
    """Whether fields and the status-quo order are the best of many draws by EPOPR's figures, or the first draws."""
    name: str | None = None
    """Of the city; left out, one made of size and seed."""


TALLAHASSEE = Character()


def synthetic_city(
    seed: int = DEFAULT_SEED, n_regions: int = 55, income_effect: float = 1.0, character: Character = TALLAHASSEE
) -> CityFields:
    """Generate the fields of a city; see `City.synthetic`.

    Args:
        seed, n_regions, income_effect: as there.
        character: what kind of city; one like Tallahassee where nothing is said.
    """
    check_arguments(seed, n_regions, income_effect)
    n, c = int(n_regions), character
    # One stream a subject: more draws of one kind leave the others as they are.
    streams = np.random.SeedSequence(int(seed)).spawn(6)
    place, social, repair, ask, when, rank = (np.random.default_rng(s) for s in streams)

    xy = _places(place, n)
    points = np.vstack([xy, DEPOT_KM])
    distance_km = DEFAULT_DETOUR * straight_km(points[:, None], points[None, :])
    travel_h = distance_km / c.speed_kmh
    orders = {"nearest": nearest_order(distance_km), "tsp_open": tsp_open_order(distance_km)}

    z_income = _incomes(social, xy, travel_h, orders, c)
    income = np.round(TYPICAL_INCOME_USD * np.exp(INCOME_LOG_SD * z_income))
    group = terciles(income)
    context = _context(social, xy, z_income)
    z_customers = social.standard_normal(n)
    customers = np.round(_clip(1250.0 * np.exp(0.42 * z_customers), 400.0, 4000.0))

    jitter = REQUEST_JITTER * ask.standard_normal(n)
    volume = np.exp(REQUEST_INCOME * z_income + REQUEST_CUSTOMERS * z_customers + jitter)
    volume = np.round(volume / volume.mean(), 9)
    quiet = np.maximum(ask.poisson(c.records * QUIET_REQUESTS * volume), MIN_QUIET_REQUESTS)
    storm = np.maximum(ask.poisson(STORM_REQUESTS * volume), MIN_STORM_REQUESTS)

    region, time = _request_times(when, quiet, storm)
    noise_sd = c.noise_log_sd * np.exp(NOISE_INCOME * z_income + NOISE_JITTER * repair.standard_normal(n))
    sd = np.round(_clip(noise_sd, *c.noise_range), 6)[region]
    damage = repair.choice(3, size=region.size, p=DAMAGE_SHARE)
    night = (repair.random(region.size) < NIGHT_SHARE).astype(np.float64)
    noise = np.exp(sd * repair.standard_normal(region.size) - sd**2 / 2)  # mean one
    job = DAMAGE_FACTOR[damage] * np.where(night > 0, NIGHT_FACTOR, 1.0) * noise
    last_day = _requests_of_last_day(time)
    if c.queue:
        job = np.round(job * ((1.0 + last_day) / (1.0 + np.median(last_day))) ** c.queue, 9)
    job_mean = np.round(np.bincount(region, job) / np.bincount(region), 6)

    rest = _repair_field(repair, xy, z_income, context["canopy"], job_mean, travel_h, orders, c)
    level_h = _level_h(z_income, rest, job_mean, income_effect, c)
    repair_h = np.maximum(np.round(level_h[region] * job, 4), MIN_REPAIR_H)
    usual_h = _level_h(z_income, rest, job_mean, 1.0, c) * job_mean  # the order does not depend on income_effect
    orders["status_quo"] = _status_quo(rank, travel_h, usual_h, group, income, quiet, storm, c)

    ids = tuple(str(i) for i in range(n))
    per_region = np.column_stack([xy, distance_km[-1, :-1], *context.values(), customers])
    log = RepairLog(
        region=region,
        features=np.column_stack([per_region[region], damage + 1.0, night, *([last_day] if c.queue else [])]),
        feature_names=(
            *("x_km", "y_km", "depot_km", *context, "customers", "damage_class", "night_shift"),
            *(["requests_24h"] if c.queue else []),
        ),
        repair_h=repair_h,
        time=time,
        timezone=None,
        region_ids=ids,
    )
    return CityFields(
        name=c.name
        or f"synthetic:{n}:{seed}" + ("" if income_effect == 1.0 else f" (income_effect={income_effect:g})"),
        region_ids=ids,
        xy_km=xy,
        depot_km=DEPOT_KM,
        group=group,
        group_names=default_group_names(3),
        speed_kmh=c.speed_kmh,
        detour=DEFAULT_DETOUR,
        log=log,
        context={"income_usd": income, **context, "quiet_requests": quiet, "storm_requests": storm},
        customers=customers,
        requests=quiet + storm,
        orders=orders,
        cost_limit_h=DEFAULT_COST_LIMIT_H,
    )


def check_arguments(seed: int, n_regions: int, income_effect: float = 1.0) -> None:
    """Raise `ValueError` for a seed, a size or an effect that no city can be made with."""
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer | float) or int(seed) != seed or seed < 0:
        raise ValueError(f"seed must be a whole number of at least 0; got {seed!r}.")
    if int(n_regions) != n_regions or not MIN_REGIONS <= n_regions <= MAX_REGIONS:
        raise ValueError(f"n_regions must be from {MIN_REGIONS} to {MAX_REGIONS}; got {n_regions!r}.")
    if not math.isfinite(income_effect):
        raise ValueError(f"income_effect must be a finite number (1.0 as calibrated, 0.0 none); got {income_effect!r}.")
    if abs(income_effect) > MOST_INCOME_EFFECT:
        raise ValueError(
            f"income_effect must be from -{MOST_INCOME_EFFECT:g} to {MOST_INCOME_EFFECT:g}; got {income_effect!r}."
        )


def _places(rng: np.random.Generator, n: int) -> Floats:
    """Draw regions one by one, 60 % around the core, none nearer than 1 km to another or outside the box."""
    points: list[Floats] = []
    while len(points) < n:
        core = rng.random() < CORE_SHARE
        point = CORE_KM + CORE_SD_KM * rng.standard_normal(2) if core else BOX_KM * rng.random(2)
        point = np.round(point, 4)
        inside = (point >= 0).all() and (point <= BOX_KM).all()
        if inside and (not points or straight_km(np.array(points), point).min() >= MIN_APART_KM):
            points.append(point)
    return np.array(points)


def _field(rng: np.random.Generator, xy: Floats, length_km: float) -> Floats:
    """Draw smooth fields `[CANDIDATES, N]`: a Gaussian process with a squared-exponential kernel."""
    distance = straight_km(xy[:, None], xy[None, :])
    kernel = np.exp(-0.5 * (distance / length_km) ** 2) + 1e-6 * np.eye(len(xy))
    return _standard(rng.standard_normal((CANDIDATES, len(xy))) @ np.linalg.cholesky(kernel).T)


def _standard(values: Floats) -> Floats:
    """Return values with mean 0 and standard deviation 1 along the last axis."""
    out: Floats = values - values.mean(axis=-1, keepdims=True)
    return out / np.maximum(out.std(axis=-1, keepdims=True), 1e-12)


def _clip(values: Floats, low: float, high: float) -> Floats:
    out: Floats = np.minimum(np.maximum(values, low), high)
    return out


def _steps(travel_h: Floats, order: Ints) -> Floats:
    """Travel time to each region `[N]` when visited in this order (h)."""
    out = np.empty(len(order))
    out[order] = travel_h[np.concatenate([[len(order)], order[:-1]]), order]
    return out


def _finish(step_h: Floats, order: Ints) -> Floats:
    """Time at which each region is restored `[..., N]`, from travel plus repair of each region (h)."""
    out = np.empty_like(step_h)
    out[..., order] = np.cumsum(step_h[..., order], axis=-1)
    return out


def _incomes(rng: np.random.Generator, xy: Floats, travel_h: Floats, orders: dict[str, Ints], c: Character) -> Floats:
    """Standardised log-incomes `[N]`: higher in the north-east, alike among neighbours, partly random."""
    n = len(xy)
    gradient = _standard(xy[:, 0] / BOX_KM[0] + xy[:, 1] / BOX_KM[1])
    field, own = _field(rng, xy, c.income_length_km), rng.standard_normal((CANDIDATES, n))
    by_gradient, by_field, by_chance = c.income_weights
    z = np.round(_standard(by_gradient * gradient + by_field * field + by_chance * own), 6)
    if not c.calibrated:
        return z[0]
    miss = np.zeros(CANDIDATES)
    for name, order in orders.items():
        times = _finish(_steps(travel_h, order) + c.mean_repair_h, order)
        gaps = np.array([gap(times, terciles(row), 3) for row in z])
        miss += np.abs(gaps / (n + 1) * 56 - AIM_GAP_H[name])
    return z[np.argmin(np.round(miss, 6))]


def _context(rng: np.random.Generator, xy: Floats, z_income: Floats) -> dict[str, Floats]:
    """Canopy, overhead share and age of assets: greener, more underground, newer where incomes are high."""
    n = len(xy)
    outward = _standard(straight_km(xy, CORE_KM))
    canopy = 0.54 + 0.13 * (0.7 * z_income + 0.7 * rng.standard_normal(n))
    overhead = 0.62 - 0.13 * (0.8 * z_income + 0.6 * rng.standard_normal(n))
    age = 39.0 - 10.0 * (0.5 * z_income + 0.5 * outward + 0.6 * rng.standard_normal(n))
    return {
        "canopy": np.round(_clip(canopy, 0.05, 0.95), 4),
        "overhead": np.round(_clip(overhead, 0.05, 0.98), 4),
        "age_yr": np.round(_clip(age, 2.0, 80.0), 2),
    }


def _level_h(z_income: Floats, rest: Floats, job_mean: Floats, income_effect: float, c: Character) -> Floats:
    """Repair time of a standard job in each region `[..., N]` (h); the regions' means average `mean_repair_h`."""
    z = c.repair_income * income_effect * z_income + math.sqrt(1 - c.repair_income**2) * rest
    level = np.exp(c.region_log_sd * z)
    out: Floats = level * c.mean_repair_h / (level * job_mean).mean(axis=-1, keepdims=True)
    return np.round(out, 6)


def _repair_field(
    rng: np.random.Generator,
    xy: Floats,
    z_income: Floats,
    canopy: Floats,
    job_mean: Floats,
    travel_h: Floats,
    orders: dict[str, Ints],
    c: Character,
) -> Floats:
    """What makes repairs long besides income `[N]`: near the core, under trees, and a smooth field.

    It is freed of income, so that with `income_effect` 0 mean repair time and income do not correlate.
    """
    n = len(xy)
    fixed = REPAIR_CORE * _standard(straight_km(xy, CORE_KM)) + REPAIR_CANOPY * _standard(canopy)
    raw = fixed + REPAIR_FIELD * _field(rng, xy, REPAIR_LENGTH_KM)
    raw -= raw.mean(axis=-1, keepdims=True)
    z = z_income - z_income.mean()
    rest = np.round(_standard(raw - (raw @ z / (z @ z))[:, None] * z), 6)
    if not c.calibrated:
        return rest[0]
    mean_h = _level_h(z_income, rest, job_mean, 1.0, c) * job_mean
    miss = np.zeros(CANDIDATES)
    for name, order in orders.items():
        outage = _finish(_steps(travel_h, order) + mean_h, order).mean(axis=-1)
        miss += np.abs(outage / (n + 1) * 56 - AIM_MEAN_H[name])
    return rest[np.argmin(np.round(miss, 6))]


def _status_quo(
    rng: np.random.Generator,
    travel_h: Floats,
    mean_h: Floats,
    group: Ints,
    income: Floats,
    quiet: Ints,
    storm: Ints,
    c: Character,
) -> Ints:
    """Draw the order in which a crew has served the regions: busy ones tend to come first (Plackett-Luce)."""
    n = len(group)
    key = STATUS_QUO_EXPONENT * np.log(quiet + storm) + rng.gumbel(size=(STATUS_QUO_CANDIDATES, n))
    orders = np.argsort(-np.round(key, 9), axis=-1, kind="stable")
    if not c.calibrated:
        return orders[0]
    few = storm <= FEW_REQUESTS
    bins = np.array_split(np.argsort(income, kind="stable"), INCOME_BINS)
    bin_income = [income[b].mean() for b in bins] if n >= INCOME_BINS else []
    miss = np.zeros(STATUS_QUO_CANDIDATES)
    for i, order in enumerate(orders):
        times = _finish(_steps(travel_h, order) + mean_h, order) / (n + 1) * 56
        miss[i] = abs(times.mean() - AIM_MEAN_H["status_quo"]) + abs(gap(times, group, 3) - AIM_GAP_H["status_quo"])
        miss[i] += 30 * abs((times <= 48).mean() - AIM_WITHIN_48_H) + 60 * abs((times > 96).mean() - AIM_AFTER_96_H)
        if few.any() and not few.all():
            miss[i] += 10 * abs(times[few].mean() / times[~few].mean() - 1 - AIM_FEW_REQUESTS)
        if bin_income:
            pearson = np.corrcoef(bin_income, [times[b].mean() for b in bins])[0, 1]
            miss[i] += 10 * abs(pearson - AIM_INCOME_PEARSON)
    return orders[np.argmin(np.round(miss, 6))]


def _request_times(rng: np.random.Generator, quiet: Ints, storm: Ints) -> tuple[Ints, NDArray[np.datetime64]]:
    """Spread the requests over the year and the storm's first days; sorted by time (local, to the minute)."""
    index = np.arange(len(quiet))
    hours = rng.choice(24, size=int(quiet.sum()), p=QUIET_HOUR_WEIGHT / QUIET_HOUR_WEIGHT.sum())
    quiet_min = rng.integers(0, 365, hours.size) * 1440 + hours * 60 + rng.integers(0, 60, hours.size)
    storm_min = np.minimum(rng.exponential(11.5 * 60, int(storm.sum())), 5 * 1440).astype(np.int64)
    region = np.concatenate([np.repeat(index, quiet), np.repeat(index, storm)])
    minutes = [
        YEAR_START + quiet_min.astype("timedelta64[m]"),
        STORM_START + storm_min.astype("timedelta64[m]"),
    ]
    time = np.concatenate(minutes)
    order = np.argsort(time, kind="stable")
    return region[order], time[order].astype("datetime64[s]")


def _requests_of_last_day(time: NDArray[np.datetime64]) -> Floats:
    """Requests of the whole city in the 24 hours before each, for sorted times."""
    before = np.searchsorted(time, time - np.timedelta64(24, "h"), side="left")
    return (np.arange(time.size) - before).astype(np.float64)
