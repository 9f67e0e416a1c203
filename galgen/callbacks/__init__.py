"""What watches a training run: snapshots, metrics, pictures, progress, the end."""
