"""Load on several systems in turn, with their throughput, latency and resources."""
