"""What requests cost: money without floats, tokens by kind, prices of the policy and packaged ones. Pure."""
