"""What routers have written down is read back and shown: `genset egress`, `genset usage`, `genset breakeven`."""
