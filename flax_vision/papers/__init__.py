"""The tables and figures of the five papers, and the experiments behind them."""
