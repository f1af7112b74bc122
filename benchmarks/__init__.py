"""How dear is each piece of work? Ratios within one run, against the same work done by hand."""
