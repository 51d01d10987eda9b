"""Drills take a part of a policy's backends away in time of peace: what they measure, when they are due, how they are judged."""
