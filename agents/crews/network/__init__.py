"""Networks that dispatch crews: what they read of jobs, crews and the storm."""
