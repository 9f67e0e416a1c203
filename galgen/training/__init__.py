"""What every training run needs: clock, random streams, EMA, replicas, freezing."""
