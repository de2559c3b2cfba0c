"""Parts of `undergrounding_table.py`: what one seed measures, and the tables and figures made of it."""
