"""The clients that people use, unchanged and newest, against a router: `make clients`."""
