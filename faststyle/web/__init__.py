"""The web page: ``python -m faststyle.web``."""
