"""Attention model trained by policy gradient with a shared baseline, under a cost limit.

`settings`, `learner` (the entry of the registry), `algorithm` (`AttentionPG`), `collection` (whole episodes of
environments that begin together), `policy`. How storms are shared and what episodes are worth beside each other is in
`stormgym.agents.restoration.network`, where STA-SAC takes it from too.
"""
