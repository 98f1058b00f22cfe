"""Several servers as one bus: who they are to each other, and what carries bytes between them."""
