"""Parts of `dispatch_learning.py`: what one seed measures, and the tables and figures made of it."""
