"""Layers that networks share. Pure torch, no Lightning."""
