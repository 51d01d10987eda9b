"""This room says what may be spent: budgets, what each request may take of them, and what routers tell each other of that."""
