"""Networks for Restoration-v0: features of its observation, and how trained actors choose and look ahead."""
