"""What all benchmarks share: cells and how they are kept, settings, tables, pages, trained seeds."""
