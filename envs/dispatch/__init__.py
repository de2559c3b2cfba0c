"""Mobile generators ahead of the outage wave of a storm."""
