"""The cards: what each data set says, who may wait longer in it and why, and what nobody may conclude."""

from __future__ import annotations

from benchmarks.data_cards.card import SYNTHETIC, Card
from benchmarks.data_cards.decision_cards import DECISIONS

PLACES = {
    "customers": "customers of the place",
    "x": "place in the unit square, from west",
    "y": "place in the unit square, from south",
    "group": "income group, 0 = low, by terciles of the income",
}
WEATHER = {
    "storm": "number of the storm, also the seed that it is drawn from",
    "temperature_c": "temperature before the storm (degrees Celsius)",
    "wind_ms": "wind before the storm (m/s)",
    "humidity": "relative humidity before the storm, 0 to 1",
    "onset": "period in which the wave of outages begins there",
}
JOBS = {
    "storm": "number of the storm, also the seed that it is drawn from",
    "job": "slot of the job in its storm",
    "region": "region of the default city",
    "group": "income group of the region, 0 = low",
    "skill": "skill that the job needs: 0 any crew, 1 a special one",
    "parent": "job that must have power first, -1 for none",
    "customers": "customers without power",
    "arrival_h": "hours after the storm when it was reported, 0 if known from the start",
    "repair_h": "hours of work on site, which nobody knows before",
    "point_h": "mean forecast of a job that has been looked at (h)",
    "lower_h": "lower end of its interval at 90 % (h)",
    "upper_h": "upper end of its interval at 90 % (h)",
}
_WAVE_LIMITS = (
    "Waves are an SIR system with weather fields of a formula, the same for every county but for its place: real "
    "outages depend on trees, age and layout of lines. Against a recorded hurricane (Helene in Georgia) plans on "
    "such waves were hardly better than none (docs/environments/dispatch.md). Costs are conventions, in no "
    "currency."
)
_WAVE_BIAS = (
    "Income is drawn apart from weather and repair, so no group is hit harder by construction in the mean; with "
    "few places, which group gets which place is chance, and stays in every storm."
)
_RESTORATION_BIAS = (
    "By construction, after EPOPR's published figures: richer regions file more requests (exp(0.62 z)), so they "
    "weigh more in the log and their intervals are calibrated on more records; poorer regions take longer to mend "
    "(weight -0.55) and vary more. The strength of the link from income to repair time is an argument "
    "(income_effect), and real data sets do not show it once damage is accounted for."
)
_RESTORATION_LIMITS = (
    "Not a log of Tallahassee, nor of any place: EPOPR's data are not public, and only its published figures were "
    "aimed at. Income groups are terciles of made-up incomes and no protected classes. Nothing may be concluded "
    "about whether the poor wait longer anywhere, about a utility, or about causes. Repairs are independent but "
    "for what features tell."
)

_THREE, _TEN = "three made-up cities in fifteen periods of two days", "ten made-up counties in twenty days"
_RANK = {"income_rank": "income as a rank, 2 = richest"}
_USD = {"income_usd": "made-up median income (USD)"}
_DECREE = "The largest city is the richest and the second the poorest, by decree. "

_REGIONS = {
    "region": "id of the region",
    "x_km": "place, from west (km)",
    "y_km": "place, from south (km)",
    "group": "income group, 0 = low, by terciles of income_usd",
    "income_usd": "made-up median income (USD)",
    "canopy": "share of tree canopy, 0 to 1",
    "overhead": "share of lines overhead, 0 to 1",
    "age_yr": "mean age of lines (years)",
    "quiet_requests": "repair requests of the quiet year",
    "storm_requests": "repair requests of the storm",
    "customers": "customers of the region",
}
_LOG = {
    "record": "number of the record",
    "region": "id of the region",
    "request_time": "when the request was filed (local time, ISO 8601)",
    "damage_class": "class of the damage, 1 light to 3 heavy",
    "night_shift": "1: worked at night",
    "repair_h": "hours of the repair",
}
_CITY_FILES = {"city.json": "depot, speed, limit on the gap, names of groups and features, reference orders of regions"}

_ENVIRONMENTS: tuple[Card, ...] = (
    Card(
        name="default-city",
        title="Default city of Restoration-v0 and CrewDispatch-v0",
        description="A synthetic city of 55 regions in three income groups with a one-year log of 2,134 repairs, "
        "calibrated to figures that EPOPR (Jiang et al., IJCAI 2025) published. `City.synthetic()`; other seeds "
        "and sizes by arguments.",
        fields={"regions.csv": _REGIONS, "log.csv": _LOG},
        files=_CITY_FILES,
        collection=f"{SYNTHETIC} Fields of income and repair times are drawn 64 times, the noise of the status-quo "
        "order 512 times, and the draw nearest to the published figures is kept; the default seed (76) was chosen "
        "for a city near them.",
        biases=_RESTORATION_BIAS,
        limitations=_RESTORATION_LIMITS,
        use_cases="Training and comparing policies of restoration with a limit on inequity; teaching conformal "
        "prediction by groups. Not for planning a real city: bring its own folder (docs/data.md).",
    ),
    Card(
        name="varied-cities",
        title="Cities of Restoration-v0 and CrewDispatch-v0 that differ as real ones do",
        description="A synthetic city of 30 regions in three income groups with a one-year log of repairs, "
        "`varied:30:6`; `varied:N:SEED` makes others, which differ in length and skew of repairs, in queues, in where "
        "income groups live, in travel and in their limit on the gap.",
        fields={
            "regions.csv": _REGIONS,
            "log.csv": {**_LOG, "requests_24h": "requests of the whole city in the 24 hours before"},
        },
        files=_CITY_FILES,
        collection=f"{SYNTHETIC} Each city draws its ranges first, and then what the default city draws, with nothing "
        "chosen among draws. The ranges hold the default city and what is known of logs of western Massachusetts and "
        "of Pacific Gas and Electric (docs/data.md).",
        biases="Ranges are wide and independent, so that combinations come up that no utility has. The correlation of "
        "repair times with income is from -0.8 to 0.3, mostly negative: poorer regions take longer to mend.",
        limitations="No city is a real place, and their mixture is no survey of real ones. Nothing may be concluded "
        "about whether the poor wait longer anywhere, about a utility, or about causes.",
        use_cases="Training policies that are to play in any city, and testing how far they carry. Not for planning a "
        "real city: bring its own folder (docs/data.md).",
    ),
    *(
        Card(
            name=f"dispatch-{profile.lower()}",
            title=f"Storms of profile {profile} of GeneratorDispatch-v0",
            description=f"Outage waves over {size}, profile {profile}, with the weather that is known before. A "
            "hundred storms, seeds 0 to 99; the environment draws as many as are asked for.",
            fields={
                "counties.csv": {"county": "number of the county", **PLACES, **income},
                "storms.csv": {
                    "storm": WEATHER["storm"],
                    "period": "period; 0 is the start",
                    "county": "number of the county",
                    "customers_out": "customers without power",
                },
                "weather.csv": {**WEATHER, "county": "number of the county"},
            },
            collection=f"{SYNTHETIC} {note}",
            biases=bias + _WAVE_BIAS,
            limitations=_WAVE_LIMITS,
            use_cases="Comparing plans of mobile generators and decision-focused forecasts. Not for sizing a real "
            "fleet.",
        )
        for profile, size, income, note, bias in (
            ("A", _THREE, _RANK, "Ten generators of 100 customers each; storms of severity 0.5 to 1.5.", _DECREE),
            ("B", _THREE, _RANK, "Five generators of 275 customers each; severity 0.5 to 2.2, later waves.", _DECREE),
            ("ten", _TEN, _USD, "`synthetic:K:SEED` makes such a profile of any size.", ""),
        )
    ),
    *(
        Card(
            name=f"undergrounding-{name}",
            title=f"Seasons of profile {name} of Undergrounding-v0",
            description="Ten made-up regions with costs of burying their lines and a hundred simulated storms "
            f"(seeds 0 to 99): hours without power if nothing is done, and the weather that is known before. {note}",
            fields={
                "regions.csv": {
                    "region": "number of the region",
                    **PLACES,
                    **_USD,
                    "protect_cost": "cost of burying its lines (money, no currency)",
                },
                "storms.csv": {
                    "storm": WEATHER["storm"],
                    "region": "number of the region",
                    "hours": "hours without power of a mean customer, if nothing is buried and no crew comes",
                },
                "weather.csv": {**WEATHER, "region": "number of the region"},
            },
            collection=SYNTHETIC,
            biases=_WAVE_BIAS,
            limitations=f"{_WAVE_LIMITS} Costs are drawn from U(100, 500) and know nothing of ground, length or "
            "customers.",
            use_cases="Comparing plans of hardening against simulated and worst-case storms. Not for choosing real "
            "lines.",
        )
        for name, note in (
            ("ten", "Weather decides how fast outages spread; restoration is fast or slow by chance."),
            ("appendix-g", "Rates of the tri-level paper's Appendix G (Chen, Zhu and Sioshansi)."),
        )
    ),
    Card(
        name="crews-default",
        title="Jobs of profile default of CrewDispatch-v0",
        description="Jobs of a hundred storms (seeds 0 to 99) in the default city: one a region, drawn from its "
        "log, some known from the start and the others reported within a day; skills and feeders as the "
        "environment draws them.",
        fields={"jobs.csv": JOBS},
        collection=f"{SYNTHETIC} Hours are records of the default city's log; forecasts leave the record's fold out.",
        biases=f"{_RESTORATION_BIAS} Who hangs on whose feeder follows places alone.",
        limitations=_RESTORATION_LIMITS,
        use_cases="Comparing dispatch of crews and published restoration times. Not for staffing a real utility.",
    ),
    Card(
        name="crews-utility",
        title="Jobs of profile utility of CrewDispatch-v0",
        description="Jobs of a hundred storms (seeds 0 to 99): 200 slots over regions of the default city, with a "
        "pulse of arrivals, two classes of work and customers per job whose few numbers are those of four storms "
        "of PG&E.",
        fields={"jobs.csv": JOBS},
        collection="Made by a seeded generator. Its eleven numbers (medians and spreads of work, shape of the "
        "pulse, shares) summarise PG&E's public outage map, 2019 to 2021 (docs/environments/crews.md); no record "
        "of it is in the data or the package.",
        biases="Places, and so income groups, come from the synthetic city, and hours and customers do not depend "
        "on them: gaps between groups are chance and the order of work. Utilities record what is reported, and who "
        "reports differs.",
        limitations="Four storms of one utility say little of others. Forecasts are exact by construction, which "
        "no utility's are. Income groups are made up: nothing may be concluded about who waited in those storms.",
        use_cases="Testing planners at the size and with the tails of a real storm. Not a model of that utility.",
    ),
    Card(
        name="restoration-forecasts",
        title="Forecasts of the default city that come with the package",
        description="Out-of-fold forecasts (ten folds, ECQR at 90 %) of the 2,134 repairs of the default city, so "
        "that nobody who plays the default has to fit them. Arrays of NumPy.",
        fields={
            "restoration.npz": {
                "lower_h": "[M] lower end of the interval of each record (h)",
                "upper_h": "[M] upper end (h)",
                "point_h": "[M] mean forecast (h)",
                "quantile_levels": "[Q] levels of the predictive quantiles",
                "quantile_h": "[M, Q] predictive quantiles (h)",
                "fold": "[M] fold of each record",
                "fit_mask": "[10, M] records that fitted the point forecast of a fold",
                "interval_fit_mask": "[10, M] records that fitted its interval",
                "calibration_mask": "[10, M] records that calibrated its interval",
            }
        },
        collection="Fitted by quantile forests on the synthetic default city: python -m "
        "benchmarks.installs.shipped_forecasts.",
        biases="Intervals are calibrated in each income group, so that each is covered alike; they are wider where "
        "incomes are low, as repairs vary more there by construction.",
        limitations="Good for the default city alone. Coverage is a promise over exchangeable records, not for "
        "each job.",
        use_cases="Playing the default environments. For another city the package fits its own.",
    ),
    Card(
        name="undergrounding-forecaster",
        title="Forecaster of profile ten that comes with the package",
        description="A conformal set of storms for the ten regions of Undergrounding-v0: a small network for the "
        "mean and one for the scale, with the widths of the set. Arrays of NumPy.",
        fields={
            "undergrounding.npz": {
                "method": "kind of score",
                "calibration": "what is calibrated: each region and the sum, or all at once",
                "confidence_level": "level of each region's bounds",
                "total_confidence_level": "level of the bound on the sum",
                "lower_bound": "least hours",
                "n_regions_in_": "K",
                "n_features_in_": "F",
                "n_calibration_": "seasons that calibrated",
                "mean_": "[K] mean hours of the seasons that were fitted on (h)",
                "sd_": "[K] their standard deviations (h)",
                "total_sd_": "standard deviation of the weighted sum",
                "scale_floor_": "least scale",
                "total_share_": "mean error of the sum over the sum of scales",
                "widths_": "[K] widths of the set in units of the scale",
                "total_width_": "width of the bound on the sum",
                "centre.*": "weights of the network of the mean",
                "scale.*": "weights of the network of the scale",
            }
        },
        collection="Fitted on 160 simulated seasons and calibrated on 200 others: python -m "
        "benchmarks.installs.shipped_forecasts.",
        biases=_WAVE_BIAS,
        limitations="Good for profile ten alone. With 200 seasons a level of 99 % rests on two or three of them.",
        use_cases="Playing Undergrounding-v0 with its default arguments.",
    ),
)

CARDS = (*_ENVIRONMENTS, *DECISIONS)
"""Every data set and generator that the package makes."""
