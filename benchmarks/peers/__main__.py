"""Compare with the peers."""

from benchmarks.harness import show
from benchmarks.options import read_options
from benchmarks.peers.comparison import run

show(run(read_options()))
