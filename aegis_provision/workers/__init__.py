"""Has hosts' work done in other processes: on this machine, or on a Dask cluster."""
