"""The tables, as numbered steps that are applied once each, in order."""
