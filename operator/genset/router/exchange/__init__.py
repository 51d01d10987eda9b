"""One request on its way: the call to an upstream, the reply, the answer to the client."""
