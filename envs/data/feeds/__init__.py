"""Feeds of outages as utilities publish them, read into one typed table of jobs, with every fault of a row flagged."""

from stormgym.envs.data.feeds.aneel import read_aneel_interruptions, read_aneel_jobs, with_interruptions
from stormgym.envs.data.feeds.faults import FAULTS, UNUSABLE_END, Fault
from stormgym.envs.data.feeds.fixed_times import FixedTimes, fixed_times, score_fixed_times
from stormgym.envs.data.feeds.known import FEATURES, known_at
from stormgym.envs.data.feeds.nged import read_nged
from stormgym.envs.data.feeds.pge import read_pge, read_pge_stated
from stormgym.envs.data.feeds.snapshots import Changes, Snapshot, changes, log_of, read_snapshots
from stormgym.envs.data.feeds.ssen import read_ssen
from stormgym.envs.data.feeds.stated import StatedTimes, error_scores, open_at, time_scores
from stormgym.envs.data.feeds.storm import RecordedStorm, peak_open, recorded_storm
from stormgym.envs.data.feeds.table import JobTable
from stormgym.envs.data.feeds.ukpn import read_ukpn

__all__ = [
    "FAULTS",
    "FEATURES",
    "UNUSABLE_END",
    "Changes",
    "Fault",
    "FixedTimes",
    "JobTable",
    "RecordedStorm",
    "Snapshot",
    "StatedTimes",
    "changes",
    "error_scores",
    "fixed_times",
    "known_at",
    "log_of",
    "open_at",
    "peak_open",
    "read_aneel_interruptions",
    "read_aneel_jobs",
    "read_nged",
    "read_pge",
    "read_pge_stated",
    "read_snapshots",
    "read_ssen",
    "read_ukpn",
    "recorded_storm",
    "score_fixed_times",
    "time_scores",
    "with_interruptions",
]
