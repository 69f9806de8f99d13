"""Stylize large collections on several devices."""
