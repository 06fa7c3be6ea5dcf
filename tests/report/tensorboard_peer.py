"""Reads event files of kiln's with TensorBoard and checks what it sees.

usage: tensorboard_peer.py FOLDER
"""
import sys

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

events = EventAccumulator(sys.argv[1])
events.Reload()
scalars = [(event.step, round(event.value, 6)) for event in events.Scalars("loss/step")]
assert scalars == [(100, 0.03), (200, 0.015), (300, 0.5)], scalars
assert [event.step for event in events.Images("filters")] == [100], "300 lies behind the checkpoint"
