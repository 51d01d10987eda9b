"""End to end: a real one-node cluster, real model servers, and the stories that users live through."""
