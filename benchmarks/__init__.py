"""What is measured, and how published tables are made: a folder a domain, a script a question (see README.md).

Run from the root of the repository: `python -m benchmarks.restoration.table --jobs 2`.
"""
