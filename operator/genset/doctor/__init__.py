"""What `genset doctor` does: `reading` asks a cluster by kubectl, `findings` says what is seen and what to do (pure)."""
