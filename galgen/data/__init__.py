"""Many cutouts: folders, built-in sets, the simulator, sampling and augmentation."""
