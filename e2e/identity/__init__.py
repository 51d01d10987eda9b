"""An identity provider that others have written says who asks: `make identity`."""
