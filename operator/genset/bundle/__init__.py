"""`genset bundle` puts everything that a site needs into one file, and unpacks it where there is no way out."""
