"""`make demo`: the main job, played on a real cluster and printed with measured times."""
