"""R networks side by side, and what lies between their input and their readout."""

from src.network.architecture import Architecture, build_architecture
from src.network.disturbance import Disturbance, Noise
from src.network.network import Carry, Network

__all__ = ["Architecture", "Carry", "Disturbance", "Network", "Noise", "build_architecture"]
