"""The places that keep jobs, one package each; they know records and never jobs, and they do not know each other."""
