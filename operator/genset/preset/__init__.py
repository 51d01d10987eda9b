"""The preset makes a house that only has API keys one that can answer without them: a model from a catalogue, and a policy.

What nodes have decides which model it is. Pure: `genset.controllers.preset` looks at the cluster and writes.
"""
