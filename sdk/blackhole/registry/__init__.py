"""Services, nodes and their offers."""
