"""Links between accounts and items: favorites, reservations and wishes."""
