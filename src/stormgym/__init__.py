"""stormgym: Gymnasium environments and agents for fast and fair power restoration.

Importing this package registers every environment id; it loads neither torch nor pandas nor matplotlib.
"""

from stormgym.envs import register_envs

__version__ = "0.1.0"

register_envs()
