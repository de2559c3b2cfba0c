"""Spatial-temporal attention soft actor-critic under a cost limit (EPOPR, Jiang et al. 2025, section 3.3).

One file an idea, from the outside in:

- `settings`: all that can be chosen; `learner`: the entry of the registry that makes a model of them;
- `algorithm`: `STASAC`, the Stable-Baselines3 algorithm, which says what happens when;
- `collecting`, `teacher`: who acts in which environment; `buffer`: the whole episodes that are kept;
- `rewards`, `control_variate`: what an episode was worth, without units and without the luck of repairs;
- `critic_update` (eq. 17-18), `storm_update` (rollouts of one storm beside their mean), both ending in `actor_step`;
  `losses`: the functions that they are made of;
- `policy`: actor, critics and what acts; their networks are in `stormgym.agents.attention`, what these see of an
  observation in `stormgym.agents.restoration.network`.
"""
